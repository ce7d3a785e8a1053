#pragma once

#include <memory>

#include "src/pool/example_source.hpp"

namespace thresher {

/// The examples of a source that every rank sees as a whole, shared out over the ranks in blocks of
/// `block_rows`. `source` must outlive the blocks.
std::unique_ptr<BlockSource> blocks_of_examples(ExampleSource& source, int rank, int ranks,
                                                std::int64_t block_rows = 1024);

}  // namespace thresher
