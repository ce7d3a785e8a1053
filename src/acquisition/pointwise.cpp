#include "src/acquisition/pointwise.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "src/base/check.hpp"
#include "src/base/thread_team.hpp"
#include "src/random/philox.hpp"

namespace thresher {

namespace {

constexpr std::int64_t kGrain = 1024;  // rows a thread takes at a time
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr double kSumTolerance = 1e-3;

/// Calls score(p) with the mean prediction p [C] of each row: the mean over samples of the
/// probabilities, never of the logits. Rows that are no distribution get NaN.
template <class Score>
void score_mean_prediction(const PredictionView& predictions, std::span<float> scores,
                           Score score) {
    const auto samples = static_cast<std::size_t>(predictions.samples);
    const auto classes = static_cast<std::size_t>(predictions.classes);
    THRESHER_CHECK(predictions.log_probs.size() == scores.size() * samples * classes,
                   "{} log-probabilities for {} rows of {} samples and {} classes",
                   predictions.log_probs.size(), scores.size(), samples, classes);
    parallel_for(
        static_cast<std::int64_t>(scores.size()), kGrain,
        [&](std::int64_t begin, std::int64_t end) {
            std::vector<double> mean(classes);
            for (auto row = static_cast<std::size_t>(begin); row < static_cast<std::size_t>(end);
                 ++row) {
                const float* log_probs = predictions.log_probs.data() + row * samples * classes;
                std::fill(mean.begin(), mean.end(), 0.0);
                for (std::size_t sample = 0; sample < samples; ++sample) {
                    for (std::size_t c = 0; c < classes; ++c) {
                        mean[c] += std::exp(static_cast<double>(log_probs[sample * classes + c]));
                    }
                }
                double sum = 0.0;
                for (double& p : mean) sum += p /= static_cast<double>(samples);
                scores[row] =
                    std::abs(sum - 1.0) <= kSumTolerance ? static_cast<float>(score(mean)) : kNan;
            }
        });
}

/// Calls score(row), and turns what is not finite into NaN.
template <class Score>
void score_rows(std::span<float> scores, Score score) {
    for (std::size_t row = 0; row < scores.size(); ++row) {
        const double value = score(row);
        scores[row] = std::isfinite(value) ? static_cast<float>(value) : kNan;
    }
}

std::span<const float> losses_of(const PredictionView& predictions, const char* role,
                                 std::size_t rows) {
    const auto losses = predictions.losses.find(role);
    THRESHER_CHECK(losses != predictions.losses.end() && losses->second.size() == rows,
                   "no losses of the {} for {} rows", role, rows);
    return losses->second;
}

}  // namespace

void score_random(const PredictionView& predictions, std::span<float> scores) {
    const KeyedRandom random(predictions.seed, Stream::random_acquisition, predictions.round);
    score_rows(scores, [&](std::size_t row) { return random.uniform(predictions.ids[row]); });
}

void score_least_confidence(const PredictionView& predictions, std::span<float> scores) {
    score_mean_prediction(predictions, scores, [](const std::vector<double>& p) {
        return 1.0 - *std::max_element(p.begin(), p.end());
    });
}

void score_margin(const PredictionView& predictions, std::span<float> scores) {
    score_mean_prediction(predictions, scores, [](const std::vector<double>& p) {
        double first = 0.0, second = 0.0;
        for (const double value : p) {
            second = std::max(second, std::min(first, value));
            first = std::max(first, value);
        }
        return 1.0 - (first - second);
    });
}

void score_entropy(const PredictionView& predictions, std::span<float> scores) {
    score_mean_prediction(predictions, scores, [](const std::vector<double>& p) {
        double entropy = 0.0;
        for (const double value : p) {
            if (value > 0.0) entropy -= value * std::log(value);  // p log p is 0 at p = 0
        }
        return std::max(0.0, entropy);
    });
}

void score_hard_learner(const PredictionView& predictions, std::span<float> scores) {
    const auto learner = losses_of(predictions, "learner", scores.size());
    score_rows(scores, [&](std::size_t row) { return double{learner[row]}; });
}

void score_easy_reference(const PredictionView& predictions, std::span<float> scores) {
    const auto reference = losses_of(predictions, "reference", scores.size());
    score_rows(scores, [&](std::size_t row) { return -double{reference[row]}; });
}

void score_learnability(const PredictionView& predictions, std::span<float> scores) {
    const auto learner = losses_of(predictions, "learner", scores.size());
    const auto reference = losses_of(predictions, "reference", scores.size());
    score_rows(scores,
               [&](std::size_t row) { return double{learner[row]} - double{reference[row]}; });
}

}  // namespace thresher
