#pragma once

// Random crops and flips of images as they are stored. What happens to a row is keyed by (seed,
// epoch, row id): it depends on no rank and no batch.

#include <cstddef>
#include <cstdint>
#include <span>

#include "src/pool/pool_info.hpp"

namespace thresher {

/// Shifts each image [C, H, W] of `inputs` by up to H / 8 rows and W / 8 columns, filling with
/// zeros, and mirrors every second one, in place. Throws UsageError unless the inputs are images.
/// Local.
void crop_and_flip(std::span<std::byte> inputs, const PoolInfo& pool,
                   std::span<const std::int64_t> ids, std::uint64_t seed, std::int64_t epoch);

}  // namespace thresher
