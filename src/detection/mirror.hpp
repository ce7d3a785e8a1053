#pragma once

// Whether a detector finds the same in an image and in its mirror image: what it has learned of an
// object does not depend on the side from which it is seen, what it guesses may.

#include <span>

#include "src/detection/detect.hpp"

namespace thresher {

/// Of the first boxes of `found`, as many as `disagreement` has: 1 - IoU with the box of the same
/// class that overlaps it most among those that were found in the mirrored image, which are
/// mirrored back; 1 where none overlaps it. Images are `width` pixels wide. The pair of an image
/// and its mirror image is that of Jeong et al. 2019 (CSD), how far a box moves under a change that
/// should not matter the localisation stability of Kao et al. 2018 (arXiv 1801.05124). Local.
void mirror_disagreement(const ImageDetections& found, const ImageDetections& mirrored,
                         double width, std::span<float> disagreement);

}  // namespace thresher
