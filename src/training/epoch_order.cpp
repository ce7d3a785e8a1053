#include "src/training/epoch_order.hpp"

#include <algorithm>

#include "src/base/check.hpp"
#include "src/base/narrow.hpp"
#include "src/random/permutation.hpp"

namespace thresher {
namespace {

/// Every window of every epoch has a permutation of its own; epochs and windows share the seed's
/// bits.
std::uint64_t window_seed(std::uint64_t seed, std::int64_t window) {
    return KeyedRandom(seed, Stream::epoch_order, 0).bits(window, 1);
}

}  // namespace

EpochOrder::EpochOrder(std::int64_t rows, std::int64_t block_rows, std::int64_t window_blocks,
                       std::uint64_t seed)
    : rows_(rows), block_rows_(block_rows), window_blocks_(window_blocks), seed_(seed) {
    THRESHER_CHECK(rows > 0, "there are no rows to train on");
    THRESHER_CHECK(
        block_rows > 0 && window_blocks > 0,
        "an epoch of blocks of {} rows in windows of {} blocks has no order; both must be "
        "at least 1",
        block_rows, window_blocks);
    if (rows <= block_rows * window_blocks) {
        block_rows_ = rows;
        window_blocks_ = 1;
    }
}

std::int64_t EpochOrder::row_at(std::int64_t epoch, std::int64_t position) const {
    const auto round = narrow<std::uint32_t>(epoch);
    const std::int64_t full_blocks = rows_ / block_rows_;
    const std::int64_t short_rows = rows_ % block_rows_;
    // Slots are the places of blocks in the epoch. The one block that may be shorter takes a slot
    // drawn for the epoch; the full ones fill the others in permuted order.
    const std::int64_t slots = full_blocks + (short_rows > 0 ? 1 : 0);
    const std::int64_t short_slot =
        short_rows > 0 ? KeyedRandom(seed_, Stream::epoch_order, round).integer(0, slots) : slots;
    const auto begin_of = [&](std::int64_t slot) {
        return slot <= short_slot ? slot * block_rows_ : (slot - 1) * block_rows_ + short_rows;
    };
    const auto window_begin = [&](std::int64_t window) {
        return begin_of(std::min(slots, window * window_blocks_));
    };

    std::int64_t window = position / (window_blocks_ * block_rows_);
    if (position >= window_begin(window + 1)) ++window;
    const std::int64_t begin = window_begin(window);
    const std::int64_t size = window_begin(window + 1) - begin;
    const KeyedPermutation within(size, window_seed(seed_, window), Stream::epoch_order, round);
    const std::int64_t shuffled = begin + within(position - begin);

    std::int64_t slot = shuffled / block_rows_;
    if (slot < slots - 1 && shuffled >= begin_of(slot + 1)) ++slot;
    const std::int64_t offset = shuffled - begin_of(slot);
    if (slot == short_slot) return full_blocks * block_rows_ + offset;
    const KeyedPermutation blocks(full_blocks, seed_, Stream::epoch_order, round);
    return blocks(slot < short_slot ? slot : slot - 1) * block_rows_ + offset;
}

}  // namespace thresher
