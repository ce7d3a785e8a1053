#pragma once

// How a detector says where an object is, seen from an anchor (Girshick et al. 2014): the shift of
// the centre in sides of the anchor, and the logarithm of the ratio of sides, times weights.

#include <array>
#include <span>

namespace thresher {

using BoxCode = std::array<double, 4>;  ///< weights of x, y, width, height

inline constexpr BoxCode kSsdCode{10.0, 10.0, 5.0, 5.0}, kRetinanetCode{1.0, 1.0, 1.0, 1.0};

/// Code [4] of a box with positive sides, corners [4], as seen from an anchor, corners [4]. Local.
void encode_box(std::span<const float, 4> anchor, std::span<const float, 4> box,
                const BoxCode& weights, std::span<float, 4> code);

/// The inverse; ratios of sides above 1000 / 16 count as that, as in torchvision. Local.
void decode_box(std::span<const float, 4> anchor, std::span<const float, 4> code,
                const BoxCode& weights, std::span<float, 4> box);

}  // namespace thresher
