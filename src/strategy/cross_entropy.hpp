#pragma once

// Losses of rows, from log-probabilities: never a logarithm of a probability, so that nothing
// underflows and no epsilon is needed.

#include <cstdint>
#include <span>

namespace thresher {

/// losses[i] = -log_probs[i, targets[i]], the cross-entropy; NaN where the target is outside
/// [0, classes). Local.
void cross_entropy_rows(std::span<const float> log_probs, std::int64_t classes,
                        std::span<const std::int64_t> targets, std::span<float> losses);

}  // namespace thresher
