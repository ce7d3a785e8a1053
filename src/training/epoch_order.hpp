#pragma once

// The order in which an epoch visits the rows: a keyed permutation that needs no memory, gives any
// position at once and never depends on ranks. Blocks are shuffled, then rows within a window of
// consecutive shuffled blocks, so a reader needs whole blocks only and keeps one window of them.

#include <cstdint>

namespace thresher {

class EpochOrder {
  public:
    /// `rows` > 0 in blocks of `block_rows`; `window_blocks` blocks are shuffled together. A set no
    /// larger than a window is permuted as a whole.
    EpochOrder(std::int64_t rows, std::int64_t block_rows, std::int64_t window_blocks,
               std::uint64_t seed);

    /// The row at `position` in [0, rows) of an epoch. For a fixed epoch it is a permutation of [0,
    /// rows).
    std::int64_t row_at(std::int64_t epoch, std::int64_t position) const;

  private:
    std::int64_t rows_, block_rows_, window_blocks_;
    std::uint64_t seed_;
};

}  // namespace thresher
