#pragma once

// A pool held in vectors: for tests, benchmarks and data made on the fly.

#include "src/pool/example_source.hpp"

namespace thresher {

struct MemoryPool {
    PoolInfo info;
    std::vector<std::byte> inputs;            ///< [rows, ...]
    std::vector<std::int64_t> targets;        ///< [rows] or empty
    std::vector<std::int64_t> ids;            ///< [rows]
    std::vector<std::int64_t> clean_targets;  ///< [rows] or empty
    std::vector<std::int32_t> tokens;         ///< [rows, L] or empty
    std::vector<std::int64_t> image_ids;      ///< [rows] or empty
    std::vector<std::int64_t> caption_of;     ///< [rows] or empty
};

/// Streams the blocks that `rank` of `ranks` owns. `pool` must outlive it.
std::unique_ptr<BlockSource> stream_blocks(const MemoryPool& pool, int rank, int ranks);

/// All rows by position. `pool` must outlive it.
std::unique_ptr<ExampleSource> all_examples(const MemoryPool& pool);

}  // namespace thresher
