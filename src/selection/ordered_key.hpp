#pragma once

// Finite floats as integers of the same order, so that ranks can agree on a threshold by counting.

#include <bit>
#include <cstdint>

namespace thresher {

/// Monotone in `value`: a < b exactly if ordered_key(a) < ordered_key(b), with -0.0 the same as
/// +0.0.
inline std::uint32_t ordered_key(float value) {
    const auto bits = std::bit_cast<std::uint32_t>(value + 0.0F);
    return (bits & 0x80000000U) != 0 ? ~bits : bits | 0x80000000U;
}

/// The inverse of ordered_key.
inline float from_ordered_key(std::uint32_t key) {
    return std::bit_cast<float>((key & 0x80000000U) != 0 ? key & 0x7fffffffU : ~key);
}

}  // namespace thresher
