// The SIMD kernels against plain long double, for every width and number of rows, on each
// instruction set of this processor.

#include <hwy/highway.h>

#include "src/acquisition/acquisition.hpp"
#include "src/acquisition/outputs.hpp"
#include "src/base/thread_team.hpp"
#include "tests/acquisition/reference.hpp"
#include "tests/support/catch.hpp"

using namespace thresher;

namespace {

/// Runs `body` once for each instruction set that was compiled and that this processor has.
template <class Body>
void on_each_target(const Body& body) {
    for (const std::int64_t target : hwy::SupportedAndGeneratedTargets()) {
        INFO(hwy::TargetName(target));
        hwy::SetSupportedTargetsForTest(target);
        hwy::GetChosenTarget().Update(hwy::SupportedTargets());
        body();
    }
    hwy::SetSupportedTargetsForTest(0);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

struct Shape {
    std::size_t rows, samples, classes;
};

const std::vector<Shape> kShapes{{1, 1, 2},  {5, 1, 1},  {70, 1, 3},   {33, 1, 10}, {17, 1, 1000},
                                 {40, 2, 2}, {35, 3, 5}, {70, 10, 10}, {9, 49, 7}};

std::vector<float> score(const char* name, const std::vector<float>& log_probs, const Shape& shape,
                         std::span<const std::int64_t> targets = {}) {
    PredictionView view;
    view.log_probs = log_probs;
    view.samples = static_cast<std::int64_t>(shape.samples);
    view.classes = static_cast<std::int64_t>(shape.classes);
    view.targets = targets;
    std::vector<float> scores(shape.rows, -1.0F);
    find_acquisition(name).score(view, scores);
    return scores;
}

/// Within a rounding to float and `relative` of what `reference` makes of the row.
void check_scores(const char* name, double relative,
                  const std::function<long double(const test::Row&, std::size_t)>& reference) {
    for (const Shape& shape : kShapes) {
        INFO(name << ": " << shape.rows << " rows, " << shape.samples << " samples, "
                  << shape.classes << " classes");
        const auto log_probs = test::some_log_probs(shape.rows, shape.samples, shape.classes);
        std::vector<std::int64_t> targets;
        for (std::size_t i = 0; i < shape.rows; ++i) {
            targets.push_back(static_cast<std::int64_t>(i % shape.classes));
        }
        const auto scores = score(name, log_probs, shape, targets);
        std::size_t wrong = 0;
        for (std::size_t row = 0; row < shape.rows; ++row) {
            const auto p =
                test::probabilities_of(log_probs.data() + row * shape.samples * shape.classes,
                                       shape.samples, shape.classes);
            const auto expected = static_cast<double>(reference(p, row % shape.classes));
            const double allowed = (relative + 0x1p-24) * std::abs(expected) + 1e-14;
            if (!(std::abs(scores[row] - expected) <= allowed)) {
                ++wrong;
                UNSCOPED_INFO("row " << row << ": " << scores[row] << " for " << expected);
            }
        }
        CHECK(wrong == 0);
    }
}

}  // namespace

TEST_CASE("scores of class outputs are those of the formulas") {
    on_each_target([] {
        check_scores("least-confidence", 0.0, [](const test::Row& row, std::size_t) {
            const auto p = test::mean_of(row);
            return 1 - *std::max_element(p.begin(), p.end());
        });
        check_scores("margin", 0.0, [](const test::Row& row, std::size_t) {
            auto p = test::mean_of(row);
            p.push_back(0);
            std::partial_sort(p.begin(), p.begin() + 2, p.end(), std::greater<>());
            return 1 - (p[0] - p[1]);
        });
        check_scores("entropy", 5e-7, [](const test::Row& row, std::size_t) {
            return test::entropy_of(test::mean_of(row));
        });
        check_scores("expected-entropy", 5e-7,
                     [](const test::Row& row, std::size_t) { return test::mean_entropy_of(row); });
        check_scores("bald", 0.0,
                     [](const test::Row& row, std::size_t) { return test::mean_kl_of(row); });
        check_scores("average-kl", 0.0,
                     [](const test::Row& row, std::size_t) { return test::mean_kl_of(row); });
        check_scores("mean-std", 0.0,
                     [](const test::Row& row, std::size_t) { return test::mean_std_of(row); });
        check_scores("el2n", 0.0, [](const test::Row& row, std::size_t target) {
            long double sum = 0;
            for (const auto& p : row) sum += test::distance_to_class(p, target);
            return sum / static_cast<long double>(row.size());
        });
    });
}

TEST_CASE("samples that agree have no disagreement, to the last bit") {
    on_each_target([] {
        for (const Shape& shape : kShapes) {
            const auto log_probs = test::some_log_probs(shape.rows, shape.samples, shape.classes);
            for (const char* name :
                 {"bald", "average-kl", "mean-std", "variation-ratio", "vote-entropy"}) {
                INFO(name << " of " << shape.samples << " samples");
                const auto scores = score(name, log_probs, shape);
                for (std::size_t row = 0; row < shape.rows; ++row) {
                    CHECK(scores[row] >= 0.0F);
                    if (row % 4 == 3 || shape.samples == 1) CHECK(scores[row] == 0.0F);
                }
            }
        }
    });
}

TEST_CASE("a NaN spoils its own row and no other") {
    on_each_target([] {
        for (const Shape& shape : kShapes) {
            if (shape.rows < 5) continue;
            auto log_probs = test::some_log_probs(shape.rows, shape.samples, shape.classes);
            const std::vector<std::int64_t> targets(shape.rows, 0);
            for (const char* name :
                 {"least-confidence", "margin", "entropy", "expected-entropy", "bald", "mean-std",
                  "variation-ratio", "vote-entropy", "el2n"}) {
                INFO(name << ": " << shape.samples << " samples, " << shape.classes << " classes");
                const auto before = score(name, log_probs, shape, targets);
                const std::size_t width = shape.samples * shape.classes;
                auto spoilt = log_probs;
                spoilt[2 * width + width - 1] = std::numeric_limits<float>::quiet_NaN();
                spoilt[4 * width] = std::numeric_limits<float>::infinity();
                const auto after = score(name, spoilt, shape, targets);
                for (std::size_t row = 0; row < shape.rows; ++row) {
                    CHECK(std::isnan(after[row]) == (row == 2 || row == 4));
                    if (row != 2 && row != 4) CHECK(after[row] == before[row]);
                }
            }
        }
    });
}

TEST_CASE("scores and conversions have the same bits for any number of threads and any cut") {
    const Shape shape{10000, 3, 5};
    const auto log_probs = test::some_log_probs(shape.rows, shape.samples, shape.classes);
    for (const char* name : {"entropy", "expected-entropy", "bald", "vote-entropy", "margin"}) {
        const auto whole = score(name, log_probs, shape);
        use_threads(3);
        CHECK(score(name, log_probs, shape) == whole);
        use_threads(1);
        // Rows beside a row do not change its score.
        const std::size_t width = shape.samples * shape.classes;
        for (const std::size_t from : {1UL, 37UL, 9990UL}) {
            const std::size_t count = std::min<std::size_t>(50, shape.rows - from);
            const std::vector<float> part(
                log_probs.begin() + static_cast<std::ptrdiff_t>(from * width),
                log_probs.begin() + static_cast<std::ptrdiff_t>((from + count) * width));
            const auto scores = score(name, part, {count, shape.samples, shape.classes});
            for (std::size_t row = 0; row < count; ++row) CHECK(scores[row] == whole[from + row]);
        }
    }
}

TEST_CASE("logits and probabilities become log-probabilities rounded once") {
    on_each_target([] {
        const KeyedRandom random(5, Stream::synthetic, 1);
        for (const std::size_t classes : {1UL, 2UL, 3UL, 4UL, 10UL, 33UL}) {
            for (const std::size_t rows : {1UL, 7UL, 70UL}) {
                INFO(rows << " rows of " << classes);
                std::vector<float> logits(rows * classes), found(logits.size()), p(logits.size());
                for (std::size_t i = 0; i < logits.size(); ++i) {
                    logits[i] =
                        static_cast<float>(10.0 * random.normal(static_cast<std::int64_t>(i)));
                }
                logits_to_log_probs(logits, static_cast<std::int64_t>(classes), found);
                std::size_t wrong = 0;
                for (std::size_t i = 0; i < logits.size(); ++i) {
                    const std::size_t begin = i / classes * classes;
                    long double sum = 0;
                    for (std::size_t c = 0; c < classes; ++c) {
                        sum += std::exp(static_cast<long double>(logits[begin + c]) - logits[i]);
                    }
                    const auto expected = static_cast<double>(-std::log(sum));
                    p[i] = static_cast<float>(1 / sum);
                    const double allowed = 0x1.1p-24 * std::abs(expected) + 1e-14;
                    wrong += std::abs(found[i] - expected) <= allowed ? 0 : 1;
                }
                CHECK(wrong == 0);
                probabilities_to_log_probs(p, static_cast<std::int64_t>(classes), found);
                for (std::size_t i = 0; i < p.size(); ++i) {
                    const double expected = std::log(double{p[i]});
                    wrong +=
                        std::abs(found[i] - expected) <= 0x1.1p-24 * std::abs(expected) ? 0 : 1;
                }
                CHECK(wrong == 0);
            }
        }
    });
}
