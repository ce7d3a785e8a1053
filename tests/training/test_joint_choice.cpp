#include <algorithm>
#include <cmath>
#include <functional>

#include "src/training/prioritised/softplus_sums.hpp"
#include "tests/support/ranks.hpp"
#include "tests/training/pair_support.hpp"

using namespace thresher;
using namespace thresher::test;

TEST_CASE("softplus sums agree with those in double precision, whatever the number of columns") {
    for (const std::size_t columns : {1U, 15U, 16U, 64U, 65U, 127U, 128U}) {
        std::vector<float> products(2 * 128);
        for (std::size_t i = 0; i < products.size(); ++i) {
            products[i] = static_cast<float>(i % 128) - 64.0F + 0.37F;
        }
        for (const auto& [scale, bias] : {std::pair(1.7F, 0.5F), {0.2F, -12.0F}, {0.0F, 0.0F}}) {
            std::vector<double> sums{0.0, 0.25};
            add_softplus_sums(products, 128, columns, scale, bias, -1.0, sums);
            double expected = 0.0;
            for (std::size_t j = 0; j < columns; ++j) {
                expected += softplus(double{scale} * double{products[j]} + double{bias});
            }
            CHECK(sums[0] == Approx(-expected).epsilon(4e-6).margin(1e-30));
            CHECK(sums[1] == 0.25 + sums[0]);
        }
    }
}

TEST_CASE("sums over chosen candidates are those of the whole matrix") {
    constexpr std::int64_t kRows = 311;
    const Towers learner = random_towers(kRows, 37, 1), reference = random_towers(kRows, 16, 2);
    const auto alone = make_local_collective();
    const PairScores scores(*alone, learner.all(), reference.all());
    const std::vector<double> matrix = score_matrix(learner, reference, kRows);
    const std::vector<double> diagonal = scores.diagonal();
    std::vector<std::int64_t> places;
    for (std::int64_t i = 0; i < kRows; i += 2) places.push_back(i);
    std::vector<double> sums(at(kRows), 0.25), expected(at(kRows), 0.25);
    scores.add(places, sums);
    sums_of(matrix, kRows)(places, expected);
    for (std::int64_t i = 0; i < kRows; ++i) {
        CHECK(diagonal[at(i)] == Approx(matrix[at(i * kRows + i)]).epsilon(1e-12));
        if (i % 2 == 1) CHECK(sums[at(i)] == Approx(expected[at(i)]).margin(2e-5));
    }
}

TEST_CASE("two models that are the same leave nothing to choose by") {
    const Towers towers = random_towers(50, 8, 3);
    const auto alone = make_local_collective();
    const PairScores scores(*alone, towers.all(), towers.all());
    const std::vector<double> zero(50, 0.0);
    CHECK(scores.diagonal() == zero);
    std::vector<double> sums = zero;
    scores.add(std::vector<std::int64_t>{3, 17, 40}, sums);
    CHECK(sums == zero);
}

TEST_CASE("in one chunk a joint choice is a choice by the diagonal") {
    on_all_ranks([](Collective& collective) {
        const Towers learner = random_towers(60, 8, 4);
        const std::vector<double> diagonal = diagonal_of(score_matrix(learner, {}, 60), 60);
        const std::int64_t begin = 60 * collective.rank() / collective.size();
        const std::int64_t end = 60 * (collective.rank() + 1) / collective.size();
        const JointDraw draw{.size = 20, .chunks = 1, .beta = 2.0, .seed = 5, .update = 9};
        const SubBatch joint =
            choose_joint_sub_batch(collective, learner.part(begin, end - begin), {}, draw);
        const std::vector<float> own(diagonal.begin() + begin, diagonal.begin() + end);
        const SubBatch plain = choose_sub_batch(
            collective, own, 20, {.name = "softmax", .beta = 2.0, .seed = 5, .round = 9});
        CHECK_ON_RANK(collective, joint.places == plain.places);
        CHECK_ON_RANK(collective, joint.chosen_score == Approx(plain.chosen_score));
        CHECK_ON_RANK(collective, joint.candidate_score == Approx(plain.candidate_score));
        CHECK_ON_RANK(collective, joint.chosen_score > joint.candidate_score);
    });
}

TEST_CASE("a joint choice has the same bits however candidates are shared out") {
    constexpr std::int64_t kRows = 203;
    const Towers learner = random_towers(kRows, 24, 6), reference = random_towers(kRows, 12, 7);
    const JointDraw draw{.size = 61, .chunks = 5, .beta = 1.0, .seed = 8, .update = 3};
    const auto alone = make_local_collective();
    const SubBatch expected = choose_joint_sub_batch(*alone, learner.all(), reference.all(), draw);
    std::vector<double> all_sums(at(kRows), 0.0);
    PairScores(*alone, learner.all(), reference.all()).add(expected.places, all_sums);
    on_all_ranks([&](Collective& collective) {
        // Uneven parts; of several ranks the first has nothing.
        const auto boundary = [&](int rank) {
            return rank <= 1 && collective.size() > 1
                       ? 0
                       : kRows * rank * rank / (collective.size() * collective.size());
        };
        const std::int64_t begin = collective.rank() == 0 ? 0 : boundary(collective.rank());
        const std::int64_t count = boundary(collective.rank() + 1) - begin;
        const PairEmbeddings own = learner.part(begin, count);
        const PairEmbeddings own_reference = reference.part(begin, count);
        const SubBatch choice = choose_joint_sub_batch(collective, own, own_reference, draw);
        CHECK_ON_RANK(collective, choice.places == expected.places);
        CHECK_ON_RANK(collective, choice.candidate_score == expected.candidate_score);
        CHECK_ON_RANK(collective, choice.chosen_score == expected.chosen_score);
        std::vector<double> sums(at(count), 0.0);
        PairScores(collective, own, own_reference).add(expected.places, sums);
        CHECK_ON_RANK(collective, std::equal(sums.begin(), sums.end(), all_sums.begin() + begin));
    });
    CHECK(std::ssize(expected.places) == 61);
    CHECK(std::adjacent_find(expected.places.begin(), expected.places.end(),
                             std::greater_equal<>()) == expected.places.end());
}

TEST_CASE("what has no score is never chosen jointly, and is counted") {
    Towers learner = random_towers(12, 4, 9);
    const auto alone = make_local_collective();
    for (const std::int64_t row : {0, 5, 11}) learner.text[at(row * 4)] = std::nanf("");
    JointDraw draw{.size = 20, .chunks = 4};
    const SubBatch choice = choose_joint_sub_batch(*alone, learner.all(), {}, draw);
    CHECK(choice.places == std::vector<std::int64_t>{1, 2, 3, 4, 6, 7, 8, 9, 10});
    CHECK(choice.without_score == 3);
    std::fill(learner.image.begin(), learner.image.end(), std::nanf(""));
    draw.size = 3;
    const SubBatch none = choose_joint_sub_batch(*alone, learner.all(), {}, draw);
    CHECK(none.places == std::vector<std::int64_t>{0, 1, 2});
    CHECK(none.without_score == 12);
    CHECK(std::isnan(none.chosen_score));
}

TEST_CASE("a joint choice refuses what does not fit") {
    const Towers towers = random_towers(6, 4, 10);
    const auto alone = make_local_collective();
    CHECK_THROWS_AS(choose_joint_sub_batch(*alone, {}, {}, {.size = 2}), Error);
    CHECK_THROWS_AS(choose_joint_sub_batch(*alone, towers.all(), towers.part(0, 5), {.size = 2}),
                    Error);
    CHECK_THROWS_AS(choose_joint_sub_batch(*alone, towers.all(), {}, {.size = 0}), Error);
    on_all_ranks([&](Collective& collective) {
        const bool last = collective.rank() == collective.size() - 1;
        bool threw = false;
        try {
            choose_joint_sub_batch(collective, towers.all(), towers.part(0, last ? 5 : 6),
                                   {.size = 2});
        } catch (const Error&) {
            threw = true;
        }
        CHECK_ON_RANK(collective, threw);
    });
}
