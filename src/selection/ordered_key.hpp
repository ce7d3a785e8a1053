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

/// A row that may be chosen, as one integer that sorts by key descending, then by offset ascending,
/// when sorted descending.
inline std::uint64_t pack_candidate(std::uint32_t key, std::uint32_t offset) {
    return (std::uint64_t{key} << 32) | static_cast<std::uint32_t>(~offset);
}
inline std::uint32_t candidate_key(std::uint64_t candidate) {
    return static_cast<std::uint32_t>(candidate >> 32);
}
inline std::uint32_t candidate_offset(std::uint64_t candidate) {
    return ~static_cast<std::uint32_t>(candidate);
}

}  // namespace thresher
