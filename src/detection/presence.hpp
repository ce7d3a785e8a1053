#pragma once

// What a detector thinks is in an image, as a distribution: so that an image can be chosen by what
// acquisitions know of classes.

#include <cstdint>
#include <span>

#include "src/detection/detect.hpp"

namespace thresher {

/// Fills `log_probs` [classes + 1]: with e[c] the sum of the scores of what was found of class c,
/// log(e[c] / (1 + sum e)), and last, of nothing, -log(1 + sum e). Local.
void presence(const ImageDetections& found, std::int64_t classes, std::span<float> log_probs);

}  // namespace thresher
