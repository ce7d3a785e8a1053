#pragma once

// Acquisitions turn predictions into scores, higher = pick first. Adding one is a function and a
// line in the table of acquisition.cpp; the guard, `thresher list` and the error texts follow from
// the table.

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace thresher {

/// What is known of consecutive rows when they are scored; spans that do not exist are empty.
struct PredictionView {
    std::span<const std::int64_t> ids;  ///< [n]
    std::span<const float> log_probs;   ///< [n, S, C], natural logarithm; -inf (p = 0) is legal
    std::int64_t samples = 0, classes = 0;
    std::map<std::string, std::span<const float>> losses;  ///< role -> [n]
    std::uint64_t seed = 0;                                ///< random alone
    std::uint32_t round = 0;                               ///< random alone
};

struct Acquisition {
    std::string_view name;
    /// Datasets of a predictions file it reads: "log_probs", "losses/learner", "losses/reference".
    std::vector<std::string_view> needs;
    std::string_view description, formula, source;
    /// Fills `scores` [n]. A row whose predictions are no probabilities, or whose loss is not
    /// finite, gets NaN and so is quarantined. Sums in double, rounded once. Local.
    void (*score)(const PredictionView& predictions, std::span<float> scores);
};

const std::vector<Acquisition>& acquisitions();

/// Throws UsageError, listing the known ones.
const Acquisition& find_acquisition(std::string_view name);

/// Throws UsageError unless everything `acquisition` needs is in `available`; says what is missing,
/// how to get it, and which acquisitions would fit.
void check_fits(const Acquisition& acquisition, std::span<const std::string> available);

/// Log-probabilities [rows, C] of logits [rows, C]: x - logsumexp x, in double, for any finite or
/// -inf logits. A row with NaN, +inf or nothing but -inf becomes NaN. Local.
void logits_to_log_probs(std::span<const float> logits, std::int64_t classes,
                         std::span<float> log_probs);

/// Logarithms of probabilities [rows, C]. A row with a negative or NaN entry, or whose sum is off 1
/// by more than 1e-3, becomes NaN. Local.
void probabilities_to_log_probs(std::span<const float> probabilities, std::int64_t classes,
                                std::span<float> log_probs);

}  // namespace thresher
