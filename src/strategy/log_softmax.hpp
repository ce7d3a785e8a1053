#pragma once

// From logits to log-probabilities and losses, row by row: always log-softmax, never a logarithm of
// a probability, so that nothing underflows and no epsilon is needed.

#include <cstdint>
#include <span>

namespace thresher {

/// log_probs[i, c] = logits[i, c] - log sum_j exp(logits[i, j]), with the sum in double, of [n,
/// classes] values. A logit of -inf gives -inf; a row with a NaN, an infinite logit or none above
/// -inf gives NaN throughout. In place where both spans are the same. Local.
void log_softmax_rows(std::span<const float> logits, std::int64_t classes,
                      std::span<float> log_probs);

/// losses[i] = -log_probs[i, targets[i]], the cross-entropy; NaN where the target is outside
/// [0, classes). Local.
void cross_entropy_rows(std::span<const float> log_probs, std::int64_t classes,
                        std::span<const std::int64_t> targets, std::span<float> losses);

}  // namespace thresher
