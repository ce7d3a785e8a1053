#pragma once

// Blocks are cut by the size of their inputs. Where much is made of each row (samples of many
// classes), they are handed on in slices, so that what is made of one fits in memory.

#include <cstdint>
#include <memory>

#include "src/pool/example_source.hpp"

namespace thresher {

/// The blocks of `source` in slices of which each makes at most 64 MiB, where a row makes
/// `bytes_per_row`; at least one row. Slices have a power of two of rows and begin where they would
/// for any number of ranks.
std::unique_ptr<BlockSource> slice_blocks(std::unique_ptr<BlockSource> source,
                                          std::int64_t bytes_per_row);

}  // namespace thresher
