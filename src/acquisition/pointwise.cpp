#include "src/acquisition/pointwise.hpp"

#include <cmath>
#include <limits>

#include "src/acquisition/class_scores.hpp"
#include "src/base/check.hpp"
#include "src/base/thread_team.hpp"
#include "src/random/philox.hpp"

namespace thresher {

namespace {

constexpr std::int64_t kGrain = 4096;  // rows a thread takes at a time
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

/// Calls score(outputs, first row, scores) for runs of rows, on all threads.
template <class Score>
void score_outputs(const PredictionView& predictions, std::span<float> scores, const Score& score) {
    ClassOutputs outputs{predictions.log_probs.data(),
                         static_cast<std::size_t>(predictions.samples),
                         static_cast<std::size_t>(predictions.classes)};
    THRESHER_CHECK(predictions.samples > 0 && predictions.classes > 0 &&
                       predictions.log_probs.size() == scores.size() * outputs.columns(),
                   "{} log-probabilities for {} rows of {} samples and {} classes",
                   predictions.log_probs.size(), scores.size(), outputs.samples, outputs.classes);
    parallel_for(static_cast<std::int64_t>(scores.size()), kGrain,
                 [&](std::int64_t begin, std::int64_t end) {
                     const auto first = static_cast<std::size_t>(begin);
                     ClassOutputs part = outputs;
                     part.log_probs += first * outputs.columns();
                     score(part, first,
                           scores.subspan(first, static_cast<std::size_t>(end - begin)));
                 });
}

/// Scores rows by score(votes [C]), how many of the samples vote for each class.
template <class Score>
void score_votes(const PredictionView& predictions, std::span<float> scores, const Score& score) {
    score_outputs(predictions, scores,
                  [&](const ClassOutputs& outputs, std::size_t, std::span<float> part) {
                      std::vector<std::uint32_t> votes(part.size() * outputs.classes);
                      count_votes(outputs, votes, part);
                      for (std::size_t row = 0; row < part.size(); ++row) {
                          const auto of_row = std::span<const std::uint32_t>(votes).subspan(
                              row * outputs.classes, outputs.classes);
                          part[row] += static_cast<float>(score(of_row));  // NaN stays NaN
                      }
                  });
}

/// Calls score(row), and turns what is not finite into NaN.
template <class Score>
void score_rows(std::span<float> scores, const Score& score) {
    parallel_for(static_cast<std::int64_t>(scores.size()), kGrain,
                 [&](std::int64_t begin, std::int64_t end) {
                     for (auto row = static_cast<std::size_t>(begin);
                          row < static_cast<std::size_t>(end); ++row) {
                         const double value = score(row);
                         scores[row] = std::isfinite(value) ? static_cast<float>(value) : kNan;
                     }
                 });
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
    THRESHER_CHECK(predictions.ids.size() == scores.size(), "{} ids for {} rows",
                   predictions.ids.size(), scores.size());
    const KeyedRandom random(predictions.seed, Stream::random_acquisition, predictions.round);
    score_rows(scores, [&](std::size_t row) { return random.uniform(predictions.ids[row]); });
}

void score_least_confidence(const PredictionView& predictions, std::span<float> scores) {
    score_outputs(predictions, scores, [](const ClassOutputs& outputs, std::size_t, auto part) {
        score_one_minus_largest(outputs, part);
    });
}

void score_margin(const PredictionView& predictions, std::span<float> scores) {
    score_outputs(predictions, scores, [](const ClassOutputs& outputs, std::size_t, auto part) {
        score_one_minus_lead(outputs, part);
    });
}

void score_entropy(const PredictionView& predictions, std::span<float> scores) {
    score_outputs(predictions, scores, [](const ClassOutputs& outputs, std::size_t, auto part) {
        outputs.samples == 1 ? score_mean_entropy(outputs, part)
                             : score_entropy_of_mean(outputs, part);
    });
}

void score_expected_entropy(const PredictionView& predictions, std::span<float> scores) {
    score_outputs(predictions, scores, [](const ClassOutputs& outputs, std::size_t, auto part) {
        score_mean_entropy(outputs, part);
    });
}

void score_bald(const PredictionView& predictions, std::span<float> scores) {
    score_outputs(predictions, scores, [](const ClassOutputs& outputs, std::size_t, auto part) {
        score_mutual_information(outputs, part);
    });
}

void score_mean_std(const PredictionView& predictions, std::span<float> scores) {
    score_outputs(predictions, scores, [](const ClassOutputs& outputs, std::size_t, auto part) {
        score_mean_deviation(outputs, part);
    });
}

void score_variation_ratio(const PredictionView& predictions, std::span<float> scores) {
    const auto samples = static_cast<double>(predictions.samples);
    score_votes(predictions, scores, [&](std::span<const std::uint32_t> votes) {
        return 1.0 - *std::max_element(votes.begin(), votes.end()) / samples;
    });
}

void score_vote_entropy(const PredictionView& predictions, std::span<float> scores) {
    std::vector<double> terms(static_cast<std::size_t>(predictions.samples) + 1);
    for (std::size_t count = 1; count < terms.size(); ++count) {
        const double share = static_cast<double>(count) / static_cast<double>(predictions.samples);
        terms[count] = -share * std::log(share);
    }
    score_votes(predictions, scores, [&](std::span<const std::uint32_t> votes) {
        double entropy = 0.0;
        for (const std::uint32_t count : votes) entropy += terms[count];
        return entropy;
    });
}

void score_el2n(const PredictionView& predictions, std::span<float> scores) {
    THRESHER_CHECK(predictions.targets.size() == scores.size(), "{} targets for {} rows",
                   predictions.targets.size(), scores.size());
    score_outputs(predictions, scores,
                  [&](const ClassOutputs& outputs, std::size_t first, std::span<float> part) {
                      score_distance_to_target(
                          outputs, predictions.targets.subspan(first, part.size()), part);
                  });
}

void score_gradient_norm(const PredictionView& predictions, std::span<float> scores) {
    const auto size = static_cast<std::size_t>(predictions.embedding_size);
    THRESHER_CHECK(size > 0 && predictions.embeddings.size() == scores.size() * size,
                   "{} values of embeddings for {} rows of {}", predictions.embeddings.size(),
                   scores.size(), size);
    score_outputs(
        predictions, scores,
        [&](const ClassOutputs& outputs, std::size_t first, std::span<float> part) {
            score_distance_to_vote(outputs, part);
            for (std::size_t row = 0; row < part.size(); ++row) {
                double square = 0.0;
                for (const float h : predictions.embeddings.subspan((first + row) * size, size)) {
                    square += double{h} * double{h};
                }
                const double length = double{part[row]} * std::sqrt(square);
                part[row] = std::isfinite(length) ? static_cast<float>(length) : kNan;
            }
        });
}

void score_predicted_loss(const PredictionView& predictions, std::span<float> scores) {
    const auto predicted = losses_of(predictions, "predicted", scores.size());
    score_rows(scores, [&](std::size_t row) { return double{predicted[row]}; });
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
