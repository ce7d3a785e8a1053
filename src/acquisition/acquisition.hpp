#pragma once

// Acquisitions turn predictions into scores, higher = pick first. Adding one is a function and a
// line in the table of acquisition.cpp; the guard, `thresher list` and the error texts follow from
// the table.

#include <algorithm>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "src/acquisition/aggregation.hpp"
#include "src/detection/found_boxes.hpp"
#include "src/pool/boxes.hpp"

namespace thresher {

/// Rows beside the one that is scored, the same for all rows of the pool and on all ranks. Filled
/// where an acquisition needs "labelled", "neighbours" or "target-predictions".
struct OtherRows {
    std::span<const float> labelled_embeddings;   ///< [m, d]; need "labelled"
    std::span<const float> neighbour_embeddings;  ///< [m, d] of neighbour_rows(); "neighbours"
    std::span<const std::int64_t> neighbour_ids;  ///< [m]; a row is no neighbour of itself
    std::span<const float> target_log_probs;      ///< [m, S, C]; need "target-predictions"
};

/// What is known of consecutive rows when they are scored; spans that do not exist are empty.
struct PredictionView {
    std::span<const std::int64_t> ids;  ///< [n]
    std::span<const float> log_probs;   ///< [n, S, C], natural logarithm; -inf (p = 0) is legal
    std::int64_t samples = 0, classes = 0;
    std::map<std::string, std::span<const float>> losses;  ///< role -> [n]
    std::uint64_t seed = 0;                                ///< random alone
    std::uint32_t round = 0;                               ///< random alone
    std::span<const float> embeddings{};                   ///< [n, d]
    std::int64_t embedding_size = 0;                       ///< d
    std::span<const std::int64_t> targets{};               ///< [n]; -1 = unknown
    std::span<const LabelledBox> boxes{};                  ///< [n, most of a row]
    FoundBoxes found{};                                    ///< by a detector
    BoxAggregation aggregation{};                          ///< where `found` is read
    OtherRows others{};
};

struct Acquisition {
    std::string_view name;
    /// What it reads; check_fits() knows each word:
    /// "log_probs", "embeddings", "losses/learner", "losses/reference", "losses/predicted":
    /// datasets of a predictions file; "samples": S >= 2; "consistent-samples": sample s of every
    /// row by one model; "boxes", "box-flips", "box-discrepancies": FoundBoxes, the others with
    /// flips or discrepancies; "targets": the pool's; "labelled", "neighbours",
    /// "target-predictions": OtherRows.
    std::vector<std::string_view> needs;
    bool reads(std::string_view need) const {
        return std::find(needs.begin(), needs.end(), need) != needs.end();
    }
    std::string_view direction;  ///< which values of the quantity described get the high scores
    std::string_view description, formula, source;
    std::string_view cost;  ///< of one row, in time and memory beyond the predictions
    /// Fills `scores` [n]. A row whose predictions are no probabilities, or whose loss, embedding
    /// or target cannot be used, gets NaN and so is quarantined. Sums in double, rounded once.
    /// Threads of the rank share the rows; the bits do not depend on their number. Local.
    void (*score)(const PredictionView& predictions, std::span<float> scores);
};

const std::vector<Acquisition>& acquisitions();

/// Throws UsageError, listing the known ones.
const Acquisition& find_acquisition(std::string_view name);

/// The words of `needs` that are not in `available`.
std::vector<std::string_view> missing_needs(std::span<const std::string_view> needs,
                                            std::span<const std::string> available);

/// What gives a missing need: "strategy embedding gives embeddings".
std::string_view remedy_for(std::string_view need);

/// Throws UsageError unless everything `acquisition` needs is in `available`; says what is missing,
/// how to get it, and which acquisitions would fit.
void check_fits(const Acquisition& acquisition, std::span<const std::string> available);

/// Rows of the pool among which typicality looks for neighbours, ascending: all of them up to
/// kNeighbourRows, beyond that as many, drawn by a permutation keyed by `seed`. Local.
constexpr std::int64_t kNeighbourRows = std::int64_t{1} << 14;
std::vector<std::int64_t> neighbour_rows(std::int64_t pool_rows, std::uint64_t seed);

/// Rows of the target pool over which epig takes its mean, ascending: all of them up to
/// kTargetRows, beyond that as many, drawn by a permutation keyed by `seed`. Local.
constexpr std::int64_t kTargetRows = 256;
std::vector<std::int64_t> target_rows(std::int64_t target_pool_rows, std::uint64_t seed);

}  // namespace thresher
