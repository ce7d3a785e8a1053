#pragma once

// Non-maximum suppression: of boxes of one group (a class of an image) that overlap, the one of the
// largest score stays.

#include <cstdint>
#include <span>
#include <vector>

namespace thresher {

/// Greedy: boxes of a group come in order of their score (equal ones in order of their place), and
/// each stays unless its intersection over union with one that stays is above `threshold`. Takes
/// corners x0 y0 x1 y1 [N, 4], scores [N] that are not NaN, and groups [N] from 0 to 2^32 - 1.
/// Returns the places of the boxes that stay, by falling score. Overlaps are computed in float, by
/// the operations of torchvision's nms and batched_nms, whose result this is where no scores tie.
/// Throws Error. Local.
std::vector<std::int64_t> batched_nms(std::span<const float> corners, std::span<const float> scores,
                                      std::span<const std::int64_t> groups, double threshold);

}  // namespace thresher
