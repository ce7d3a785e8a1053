#pragma once

// A pool held in vectors: for tests, benchmarks and data made on the fly.

#include "src/pool/example_source.hpp"

namespace thresher {

/// All its rows; of targets there may be none.
struct MemoryPool : Examples {
    PoolInfo info;
};

/// Streams the blocks that `rank` of `ranks` owns. `pool` must outlive it.
std::unique_ptr<BlockSource> stream_blocks(const MemoryPool& pool, int rank, int ranks);

/// All rows by position. `pool` must outlive it.
std::unique_ptr<ExampleSource> all_examples(const MemoryPool& pool);

}  // namespace thresher
