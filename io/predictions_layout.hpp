#pragma once

// Names and checks that reader and writer of predictions share. Used inside io.

#include <span>
#include <string>

#include "io/predictions_file.hpp"

namespace thresher::io {

/// "/log_probs", "/logits" or "/probabilities".
std::string output_dataset(OutputKind kind);

/// Why the outputs of one row, [S, C], cannot be used; empty where they can.
std::string what_is_wrong(OutputKind kind, std::span<const float> row, std::int64_t classes);

}  // namespace thresher::io
