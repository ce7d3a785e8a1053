#include "src/pool/blocks.hpp"

#include <bit>

namespace thresher {

std::int64_t default_block_rows(std::int64_t bytes_per_row) {
    constexpr std::int64_t kTargetBytes = std::int64_t{2} << 20;
    const auto rows =
        static_cast<std::uint64_t>(kTargetBytes / std::max<std::int64_t>(1, bytes_per_row));
    return std::clamp<std::int64_t>(
        static_cast<std::int64_t>(std::bit_ceil(std::max<std::uint64_t>(1, rows))), 16, 65536);
}

}  // namespace thresher
