#pragma once

// Passes over keys in SIMD: their range, and the few among them that lie in a narrower one.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace thresher {

/// Lowers `smallest` and raises `largest` to hold all of `keys`. Local.
void widen_range(std::span<const std::uint32_t> keys, std::uint32_t& smallest,
                 std::uint32_t& largest);

/// Appends to `found` the places of the keys with keys[i] - lowest <= width (modulo 2^32), in
/// ascending order. As fast as reading `keys` where few match. Local.
void find_keys(std::span<const std::uint32_t> keys, std::uint32_t lowest, std::uint32_t width,
               std::vector<std::size_t>& found);

}  // namespace thresher
