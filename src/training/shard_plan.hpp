#pragma once

// How the rows of a batch are cut into shards and the shards dealt out to the ranks: consecutive
// rows make a shard, consecutive shards go to a rank. With a number of shards that does not depend
// on the ranks, what is computed shard by shard does not either.

#include <cstdint>

#include "src/pool/blocks.hpp"

namespace thresher {

struct ShardPlan {
    std::int64_t shards = 1;
    int ranks = 1;

    /// Rounded up, so that rank 0 always has a shard.
    std::int64_t first_shard(int rank) const { return (shards * rank + ranks - 1) / ranks; }

    /// The rows of one shard of a batch of `batch_rows`; none where there are fewer rows than
    /// shards.
    RowRange shard_rows(std::int64_t batch_rows, std::int64_t shard) const {
        return {batch_rows * shard / shards, batch_rows * (shard + 1) / shards};
    }

    /// The rows of all shards of a rank.
    RowRange rank_rows(std::int64_t batch_rows, int rank) const {
        return {batch_rows * first_shard(rank) / shards,
                batch_rows * first_shard(rank + 1) / shards};
    }
};

}  // namespace thresher
