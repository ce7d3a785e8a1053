#pragma once

// Class outputs of any framework as log-probabilities.

#include <cstdint>
#include <span>

namespace thresher {

/// How far from 1 the probabilities of a row may sum, and still be probabilities.
inline constexpr double kSumTolerance = 1e-3;

/// Log-probabilities [rows, C] of logits [rows, C]: x - logsumexp x, in double, for any finite or
/// -inf logits. A row with NaN, +inf or nothing but -inf becomes NaN. Local.
void logits_to_log_probs(std::span<const float> logits, std::int64_t classes,
                         std::span<float> log_probs);

/// Logarithms of probabilities [rows, C]. A row with a negative or NaN entry, or whose sum is off 1
/// by more than kSumTolerance, becomes NaN. Local.
void probabilities_to_log_probs(std::span<const float> probabilities, std::int64_t classes,
                                std::span<float> log_probs);

/// Whether each of `log_probs` [S, C] is finite or -inf, and sums to 1 but for kSumTolerance.
/// Local.
bool are_distributions(std::span<const float> log_probs, std::int64_t classes);

/// Why a row cannot be used, in the words of the quarantine.
inline constexpr const char* kNoDistribution = "predictions are no probabilities that sum to 1";
inline constexpr const char* kEmbeddingNotFinite = "embedding is not finite";

}  // namespace thresher
