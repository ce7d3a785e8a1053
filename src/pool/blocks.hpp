#pragma once

// Blocks are fixed runs of consecutive rows, aligned to the global row index; a rank owns whole,
// consecutive blocks. Which rows a block holds never depends on the number of ranks.

#include <algorithm>
#include <cstdint>

namespace thresher {

struct RowRange {
    std::int64_t begin = 0, end = 0;
    std::int64_t size() const { return end - begin; }
};

/// How `rows` rows in blocks of `block_rows` are dealt to `ranks` ranks: rank r owns the blocks
/// [blocks * r / ranks, blocks * (r + 1) / ranks). Ranks beyond the number of blocks own nothing.
struct BlockPartition {
    std::int64_t rows, block_rows;
    int ranks;

    std::int64_t blocks() const { return (rows + block_rows - 1) / block_rows; }

    RowRange block(std::int64_t index) const {
        return {index * block_rows, std::min(rows, (index + 1) * block_rows)};
    }
    RowRange owned_blocks(int rank) const {
        return {blocks() * rank / ranks, blocks() * (rank + 1) / ranks};
    }
    RowRange owned_rows(int rank) const {
        const RowRange owned = owned_blocks(rank);
        return {std::min(rows, owned.begin * block_rows), std::min(rows, owned.end * block_rows)};
    }
};

/// Rows per block for rows of `bytes_per_row`: a power of two, at least 1 MiB and at most 4 MiB of
/// input where rows are small, between 16 and 65536 rows.
std::int64_t default_block_rows(std::int64_t bytes_per_row);

}  // namespace thresher
