// Acquisitions that compare rows with other rows: closed forms and bad input.

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "src/acquisition/acquisition.hpp"
#include "src/base/check.hpp"
#include "src/base/thread_team.hpp"
#include "tests/acquisition/reference.hpp"
#include "tests/support/catch.hpp"

using namespace thresher;

namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

std::vector<float> score(const char* name, const PredictionView& view, std::size_t rows) {
    std::vector<float> scores(rows);
    find_acquisition(name).score(view, scores);
    return scores;
}

/// Normal embeddings [rows, d].
std::vector<float> some_embeddings(std::size_t rows, std::size_t d) {
    const KeyedRandom random(11, Stream::synthetic, 0);
    std::vector<float> embeddings(rows * d);
    for (std::size_t i = 0; i < embeddings.size(); ++i) {
        embeddings[i] = static_cast<float>(random.normal(static_cast<std::int64_t>(i)));
    }
    return embeddings;
}

double distance(const float* a, const float* b, std::size_t d) {
    double sum = 0.0;
    for (std::size_t i = 0; i < d; ++i) sum += (double{a[i]} - b[i]) * (double{a[i]} - b[i]);
    return std::sqrt(sum);
}

}  // namespace

TEST_CASE("the gradient norm is the length of an outer product") {
    const std::vector<float> p{0.7F, 0.2F, 0.1F, 1.0F, 0.0F, 0.0F, 0.25F, 0.5F, 0.25F};
    std::vector<float> log_probs;
    for (const float value : p) log_probs.push_back(std::log(value));
    const std::vector<float> embeddings{1.0F, 2.0F, 2.0F, 1.0F, 2.0F, 2.0F, kNan, 0.0F, 0.0F};
    PredictionView view;
    view.log_probs = log_probs;
    view.samples = 1;
    view.classes = 3;
    view.embeddings = embeddings;
    view.embedding_size = 3;
    const auto scores = score("gradient-norm", view, 3);
    CHECK(scores[0] == Approx(std::sqrt(0.14) * 3.0).epsilon(1e-6));
    CHECK(scores[1] == 0.0F);
    CHECK(std::isnan(scores[2]));
}

TEST_CASE("the distance to the labelled rows is that to the nearest of them") {
    const std::vector<float> labelled{0.0F, 0.0F, 10.0F, 0.0F};
    const std::vector<float> embeddings{3.0F, 4.0F, 10.0F, 1.0F, 0.0F, 0.0F, kNan, 1.0F};
    PredictionView view;
    view.embeddings = embeddings;
    view.embedding_size = 2;
    view.others.labelled_embeddings = labelled;
    const auto scores = score("distance-to-labelled", view, 4);
    CHECK(scores[0] == 5.0F);
    CHECK(scores[1] == 1.0F);
    CHECK(scores[2] == 0.0F);
    CHECK(std::isnan(scores[3]));
    view.others.labelled_embeddings = {};
    CHECK_THROWS_AS(score("distance-to-labelled", view, 4), Error);
}

TEST_CASE("distances of any width are those of a loop, on any number of threads") {
    constexpr std::size_t kRows = 300, kOthers = 700;
    for (const std::size_t d : {1UL, 2UL, 16UL, 37UL, 128UL}) {
        const auto embeddings = some_embeddings(kRows + kOthers, d);
        PredictionView view;
        view.embeddings = std::span(embeddings).first(kRows * d);
        view.embedding_size = static_cast<std::int64_t>(d);
        view.others.labelled_embeddings = std::span(embeddings).subspan(kRows * d);
        const auto scores = score("distance-to-labelled", view, kRows);
        use_threads(2);
        CHECK(score("distance-to-labelled", view, kRows) == scores);
        use_threads(1);
        for (std::size_t row = 0; row < kRows; ++row) {
            double nearest = std::numeric_limits<double>::infinity();
            for (std::size_t m = 0; m < kOthers; ++m) {
                nearest = std::min(nearest, distance(embeddings.data() + row * d,
                                                     embeddings.data() + (kRows + m) * d, d));
            }
            CHECK(scores[row] == Approx(nearest).epsilon(1e-7));
        }
    }
}

TEST_CASE("near differences of far points keep their digits") {
    // |a|^2 + |b|^2 - 2 ab would lose all of them.
    const std::vector<float> labelled{1.0e4F, 1.0e4F}, embeddings{1.0e4F + 0x1p-10F, 1.0e4F};
    PredictionView view;
    view.embeddings = embeddings;
    view.embedding_size = 2;
    view.others.labelled_embeddings = labelled;
    CHECK(score("distance-to-labelled", view, 1)[0] == 0x1p-10F);
}

TEST_CASE("typicality is the inverse mean distance to the 20 nearest others") {
    // Points 0, 1, ..., 99 on a line. The end has its neighbours at 1 to 20, the middle at 1 to 10
    // on either side.
    std::vector<float> line(100);
    std::iota(line.begin(), line.end(), 0.0F);
    std::vector<std::int64_t> ids(100);
    std::iota(ids.begin(), ids.end(), 500);
    PredictionView view;
    view.ids = ids;
    view.embeddings = line;
    view.embedding_size = 1;
    view.others.neighbour_embeddings = line;
    view.others.neighbour_ids = ids;
    const auto scores = score("typicality", view, 100);
    CHECK(scores[0] == Approx(1.0 / 10.5).epsilon(1e-7));
    CHECK(scores[50] == Approx(1.0 / 5.5).epsilon(1e-7));
}

TEST_CASE("points without a neighbour, or with too many equal ones, are told apart") {
    const std::vector<float> embeddings(30, 2.5F);
    std::vector<std::int64_t> ids(30);
    std::iota(ids.begin(), ids.end(), 0);
    PredictionView view;
    view.ids = ids;
    view.embeddings = embeddings;
    view.embedding_size = 1;
    view.others.neighbour_embeddings = embeddings;
    view.others.neighbour_ids = ids;
    // All points equal: as typical as can be, and finite.
    CHECK(score("typicality", view, 30)[7] == std::numeric_limits<float>::max());
    // A pool of one row has no typical row.
    view.ids = view.others.neighbour_ids = std::span(ids).first(1);
    view.embeddings = view.others.neighbour_embeddings = std::span(embeddings).first(1);
    CHECK(std::isnan(score("typicality", view, 1)[0]));
}

TEST_CASE("rows that stand for a pool are drawn by seed, without repetition") {
    CHECK(neighbour_rows(3, 1) == std::vector<std::int64_t>{0, 1, 2});
    CHECK(neighbour_rows(0, 1).empty());
    CHECK(target_rows(kTargetRows, 1).size() == static_cast<std::size_t>(kTargetRows));
    const auto rows = neighbour_rows(1000000, 1);
    CHECK(rows.size() == static_cast<std::size_t>(kNeighbourRows));
    CHECK(std::adjacent_find(rows.begin(), rows.end(), std::greater_equal<>()) == rows.end());
    CHECK(rows.back() < 1000000);
    CHECK(neighbour_rows(1000000, 1) == rows);
    CHECK(neighbour_rows(1000000, 2) != rows);
}

TEST_CASE("epig has its closed forms") {
    // Two certain members that contradict each other everywhere: the label of a row tells the label
    // of any target that the members contradict each other on, and nothing of one they agree on.
    const float zero = 0.0F, none = -std::numeric_limits<float>::infinity();
    const std::vector<float> contradict{zero, none, none, zero}, agree{zero, none, zero, none};
    PredictionView view;
    view.samples = view.classes = 2;
    view.log_probs = contradict;
    view.others.target_log_probs = contradict;
    CHECK(score("epig", view, 1)[0] == Approx(std::log(2.0)).epsilon(1e-7));
    view.others.target_log_probs = agree;
    CHECK(score("epig", view, 1)[0] == 0.0F);
    // The mean over targets.
    std::vector<float> both = contradict;
    both.insert(both.end(), agree.begin(), agree.end());
    view.others.target_log_probs = both;
    CHECK(score("epig", view, 1)[0] == Approx(std::log(2.0) / 2.0).epsilon(1e-7));
    view.log_probs = agree;
    CHECK(score("epig", view, 1)[0] == 0.0F);
}

TEST_CASE("epig is the mean mutual information of two labels") {
    constexpr std::size_t kSamples = 7, kClasses = 5, kTargets = 21, kRows = 20;
    const auto all = test::some_log_probs(kRows + kTargets, kSamples, kClasses);
    constexpr std::size_t kWidth = kSamples * kClasses;
    PredictionView view;
    view.samples = kSamples;
    view.classes = kClasses;
    view.log_probs = std::span(all).first(kRows * kWidth);
    view.others.target_log_probs = std::span(all).subspan(kRows * kWidth);
    const auto scores = score("epig", view, kRows);
    use_threads(2);
    CHECK(score("epig", view, kRows) == scores);
    use_threads(1);
    for (std::size_t row = 0; row < kRows; ++row) {
        const auto p = test::probabilities_of(all.data() + row * kWidth, kSamples, kClasses);
        const auto mean = test::mean_of(p);
        long double expected = 0;
        for (std::size_t target = kRows; target < kRows + kTargets; ++target) {
            const auto q = test::probabilities_of(all.data() + target * kWidth, kSamples, kClasses);
            const auto target_mean = test::mean_of(q);
            for (std::size_t y = 0; y < kClasses; ++y) {
                for (std::size_t z = 0; z < kClasses; ++z) {
                    long double joint = 0;
                    for (std::size_t s = 0; s < kSamples; ++s) joint += p[s][y] * q[s][z];
                    joint /= kSamples;
                    if (joint > 0) expected += joint * std::log(joint / (mean[y] * target_mean[z]));
                }
            }
        }
        CHECK(scores[row] ==
              Approx(static_cast<double>(expected / kTargets)).epsilon(1e-7).margin(1e-14));
        if (row % 4 == 3) CHECK(scores[row] == 0.0F);  // samples that agree
    }
}

TEST_CASE("epig refuses targets that are no predictions of the same members") {
    using thresher::test::contains;
    const auto log_probs = test::some_log_probs(4, 2, 3);
    PredictionView view;
    view.samples = 2;
    view.classes = 3;
    view.log_probs = std::span(log_probs).first(6);
    view.others.target_log_probs = {};
    CHECK_THROWS_AS(score("epig", view, 1), Error);
    view.others.target_log_probs = std::span(log_probs).first(7);
    CHECK_THROWS_AS(score("epig", view, 1), Error);
    auto spoilt = log_probs;
    spoilt[8] = kNan;
    view.others.target_log_probs = spoilt;
    CHECK_THROWS_WITH(score("epig", view, 1), contains("row 1 of the 4 target predictions"));
}
