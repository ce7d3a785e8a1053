#pragma once

// Pools as the science wants them: streamed block by block for scoring, or fetched by position for
// training.

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "io/pool/pool_file.hpp"
#include "src/pool/example_source.hpp"

namespace thresher::io {

/// Streams the blocks `rank` of `ranks` owns; a thread reads one block ahead. `block_rows` 0: the
/// pool's own. Local.
std::unique_ptr<BlockSource> make_block_reader(const PoolFile& pool, int rank, int ranks,
                                               std::int64_t block_rows = 0);

/// All rows of the pool by position. Whole blocks are read and the most recently used ones kept, up
/// to `cache_bytes` (at least two blocks); a pool that fits is read once. prefetch() reads in a
/// thread. Local.
std::unique_ptr<ExampleSource> make_example_source(const PoolFile& pool, std::int64_t cache_bytes);

/// Chosen rows of the pool; position i is rows[i]. Rows that fit `cache_bytes` are read once into
/// memory, neighbours together; otherwise blocks are cached as above. `targets` [rows], if not
/// empty, replaces the pool's (a person's labels). Local.
std::unique_ptr<ExampleSource> make_example_source(const PoolFile& pool,
                                                   std::span<const std::int64_t> rows,
                                                   std::int64_t cache_bytes,
                                                   std::span<const std::int64_t> targets = {});

}  // namespace thresher::io
