#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace thresher {

/// The dropout factors of one row: out[e] = 0 where word e % 4 of the Philox block with the counter
/// {e / 4, tail...} is below `least_kept`, from 0 to 2^32, else `kept`. In SIMD. Local.
void fill_mask(const std::array<std::uint32_t, 3>& tail, const std::array<std::uint32_t, 2>& key,
               std::uint64_t least_kept, float kept, std::span<float> out);

}  // namespace thresher
