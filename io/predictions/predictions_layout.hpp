#pragma once

// Names and checks that reader and writer of predictions share. Used inside io.

#include <span>
#include <string>

#include "io/predictions/predictions_file.hpp"

namespace thresher::io {

/// "/log_probs", "/logits" or "/probabilities".
std::string output_dataset(OutputKind kind);

inline constexpr const char* kBoxLogProbs = "/box_log_probs";
inline constexpr const char* kBoxScores = "/box_scores";
inline constexpr const char* kBoxFlips = "/box_flips";
inline constexpr const char* kBoxDiscrepancies = "/box_discrepancies";

/// Why the outputs of one row, [S, C], cannot be used; empty where they can.
std::string what_is_wrong(OutputKind kind, std::span<const float> row, std::int64_t classes);

/// Why the boxes of one row cannot be used; empty where they can.
std::string what_is_wrong(const FoundBoxes& row);

}  // namespace thresher::io
