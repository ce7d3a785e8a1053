#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "src/random/philox.hpp"
#include "src/training/prioritised/joint_sub_batch.hpp"
#include "src/training/prioritised/softplus_sums.hpp"
#include "tests/support/golden.hpp"
#include "tests/support/ranks.hpp"

using namespace thresher;
using namespace thresher::test;

namespace {

std::size_t at(std::int64_t index) { return static_cast<std::size_t>(index); }

double softplus(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); }

/// Embeddings of both towers under one model.
struct Towers {
    std::vector<float> image, text;
    std::int64_t size = 0;
    double scale = 10.0, bias = -10.0;

    /// Those of rows [begin, begin + count).
    PairEmbeddings part(std::int64_t begin, std::int64_t count) const {
        return {std::span(image).subspan(at(begin * size), at(count * size)),
                std::span(text).subspan(at(begin * size), at(count * size)), size, scale, bias};
    }
    PairEmbeddings all() const { return part(0, size == 0 ? 0 : std::ssize(image) / size); }

    /// Loss of image i with text j.
    double loss(std::int64_t i, std::int64_t j) const {
        double product = 0.0;
        for (std::int64_t k = 0; k < size; ++k) {
            product += double{image[at(i * size + k)]} * double{text[at(j * size + k)]};
        }
        return softplus((i == j ? -1.0 : 1.0) * (scale * product + bias));
    }
};

/// Random directions; texts lean towards their images.
Towers random_towers(std::int64_t rows, std::int64_t size, std::uint64_t seed) {
    Towers towers;
    towers.size = size;
    const KeyedRandom random(seed, Stream::synthetic, 0);
    const auto normalised = [&](std::vector<double> row) {
        const double norm = std::sqrt(std::inner_product(row.begin(), row.end(), row.begin(), 0.0));
        for (double& value : row) value /= norm;
        return row;
    };
    for (std::int64_t i = 0; i < rows; ++i) {
        std::vector<double> image, text;
        for (std::int64_t k = 0; k < size; ++k) {
            image.push_back(random.normal(i * size + k, 0));
            text.push_back(image.back() + 1.5 * random.normal(i * size + k, 1));
        }
        for (const double value : normalised(image)) {
            towers.image.push_back(static_cast<float>(value));
        }
        for (const double value : normalised(text)) {
            towers.text.push_back(static_cast<float>(value));
        }
    }
    return towers;
}

/// The scores of both models as one matrix.
std::vector<double> score_matrix(const Towers& learner, const Towers& reference,
                                 std::int64_t rows) {
    std::vector<double> scores;
    for (std::int64_t i = 0; i < rows; ++i) {
        for (std::int64_t j = 0; j < rows; ++j) {
            scores.push_back((learner.size > 0 ? learner.loss(i, j) : 0.0) -
                             (reference.size > 0 ? reference.loss(i, j) : 0.0));
        }
    }
    return scores;
}

/// A matrix that all of a rank knows, for one rank.
AddPairSums sums_of(const std::vector<double>& scores, std::int64_t rows) {
    return [&scores, rows](std::span<const std::int64_t> places, std::span<double> sums) {
        for (const std::int64_t k : places) {
            for (std::int64_t i = 0; i < rows; ++i) {
                sums[at(i)] += scores[at(k * rows + i)] + scores[at(i * rows + k)];
            }
        }
    };
}

std::vector<double> diagonal_of(const std::vector<double>& scores, std::int64_t rows) {
    std::vector<double> diagonal;
    for (std::int64_t i = 0; i < rows; ++i) diagonal.push_back(scores[at(i * rows + i)]);
    return diagonal;
}

Towers golden_towers(const nlohmann::json& embeddings, const std::string& model) {
    Towers towers;
    towers.image = floats(embeddings[model + "_image"]);
    towers.text = floats(embeddings[model + "_text"]);
    towers.size = embeddings[model + "_image"]["shape"][1];
    towers.scale = embeddings["a"];
    towers.bias = embeddings["b"];
    return towers;
}

}  // namespace

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
        CHECK_ON_RANK(collective, close(joint.chosen_score, plain.chosen_score));
        CHECK_ON_RANK(collective, close(joint.candidate_score, plain.candidate_score));
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

TEST_CASE("sizes of joint choices are rounded, not floored") {
    CHECK(joint_sub_batch_size(163840, 0.8, 16) == 32768);
    CHECK(joint_sub_batch_size(10, 0.99, 4) == 4);  // one a chunk at least
    const auto reference = golden("jest.json");
    if (reference.is_null()) return;
    for (const auto& counts : reference["counts"]) {
        const std::int64_t selected =
            joint_sub_batch_size(counts["B"], counts["filter_ratio"], counts["n_chunks"]);
        CHECK(selected == counts["expected"]["selected"]);
    }
}

TEST_CASE("pairwise losses, logits and their sums are those of the reference") {
    const auto reference = golden("jest.json");
    if (reference.is_null()) return;
    const auto& embeddings = reference["embeddings"];
    const Towers learner = golden_towers(embeddings, "learner");
    const Towers fixed = golden_towers(embeddings, "reference");
    const auto alone = make_local_collective();
    for (const auto& item : reference["cases"]) {
        const std::string name = item["name"];
        if (!name.starts_with("siglip")) continue;
        INFO(name);
        const bool learns = name.find("learnability") != std::string::npos;
        const PairScores scores(*alone, learns ? learner.all() : PairEmbeddings{}, fixed.all());
        for (const auto& step : item["chunk_logits"]) {
            std::vector<double> logits = scores.diagonal();
            std::vector<std::int64_t> chosen;
            for (std::int64_t i = 0; i < std::ssize(logits); ++i) {
                if (step["mask"][at(i)] == 1) chosen.push_back(i);
            }
            scores.add(chosen, logits);
            for (std::size_t i = 0; i < logits.size(); ++i) {
                const auto& expected = step["logits_null_where_chosen"][i];
                if (!expected.is_null()) CHECK(close(logits[i], expected));
            }
        }
        for (const auto& path : item["additivity"]) {
            std::vector<double> logits = scores.diagonal();
            double sum = 0.0;
            for (std::size_t i = 0; i < path["ids"].size(); ++i) {
                const std::int64_t id = path["ids"][i];
                CHECK(close(logits[at(id)], path["increments"][i]));
                sum += logits[at(id)];
                scores.add(std::vector{id}, logits);
            }
            CHECK(close(sum, path["pair_sum"]));
        }
    }
}

TEST_CASE("sets of candidates are drawn with the probabilities of the reference") {
    const auto reference = golden("jest.json");
    if (reference.is_null()) return;
    constexpr std::int64_t kDraws = 10000;
    const auto alone = make_local_collective();
    for (const auto& item : reference["cases"]) {
        const std::int64_t rows = item["scores"]["shape"][0];
        const std::vector<double> matrix = item["scores"]["data"];
        for (const auto& law : item["set_law"]) {
            const std::int64_t chunks = law["n_chunks"], draws = law["n_draws"];
            INFO(item["name"] << ", " << chunks << " chunks of " << draws);
            std::map<std::vector<std::int64_t>, std::int64_t> drawn;
            for (std::int64_t update = 0; update < kDraws; ++update) {
                const JointDraw draw{
                    .size = chunks * draws, .chunks = chunks, .seed = 11, .update = update};
                ++drawn[draw_joint_sub_batch(*alone, diagonal_of(matrix, rows), draw,
                                             sums_of(matrix, rows))
                            .places];
            }
            std::int64_t total = 0;
            for (const auto& set : law["sets"]) {
                const double expected = kDraws * set["p"].get<double>();
                const std::int64_t found = drawn[set["ids"]];
                total += found;
                CHECK(std::abs(static_cast<double>(found) - expected) <=
                      5.0 * std::sqrt(expected * (1.0 - expected / kDraws)) + 1.0);
            }
            CHECK(total == kDraws);
        }
    }
}
