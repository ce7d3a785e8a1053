#pragma once

// k-means over the rows of all ranks, with the same bits for any number of ranks and threads.

#include <cstdint>
#include <span>
#include <vector>

#include "src/acquisition/joint/joint.hpp"
#include "src/acquisition/joint/shard.hpp"

namespace thresher {

struct Clusters {
    std::vector<std::uint32_t> of;   ///< cluster of each of this rank's rows that were clustered
    std::vector<float> distances;    ///< and its squared distance to the centroid
    std::vector<float> centroids;    ///< [clusters, d], the same on all ranks
    std::vector<std::int64_t> size;  ///< [clusters], rows over all ranks
};

/// Clusters of this rank's `rows` (offsets, ascending) and the other ranks' into at most `clusters`
/// (fewer where the rows have fewer distinct embeddings): seeded by squared distance (k-means++;
/// Arthur and Vassilvitskii 2007), then Lloyd's steps until no row changes its cluster, or 25. A
/// row as near to two centroids belongs to the first. There must be rows. Collective.
Clusters k_means(Collective& collective, const JointShard& shard, std::span<const std::size_t> rows,
                 std::int64_t clusters, const JointOptions& options);

}  // namespace thresher
