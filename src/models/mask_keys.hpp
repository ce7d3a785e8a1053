#pragma once

// What the masks of Monte-Carlo dropout depend on; src/models/dropout_masks.hpp makes them.

#include <cstdint>
#include <span>

namespace thresher {

/// Whose masks they are.
struct MaskKeys {
    std::uint64_t seed = 0;
    std::uint32_t round = 0;
    std::span<const std::int64_t> ids;  ///< of the rows of the forward pass
    bool consistent = false;            ///< the same mask for all rows
};

}  // namespace thresher
