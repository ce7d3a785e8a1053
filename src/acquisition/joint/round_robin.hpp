#pragma once

// Batches from clusters: one row from each in turn, until there are k.

#include <cstdint>
#include <span>
#include <vector>

#include "src/acquisition/joint/joint.hpp"

namespace thresher {

/// A row that its cluster can give.
struct ClusterRow {
    std::uint32_t cluster;
    double key;  ///< the largest of a cluster goes first, ties by id
    std::int64_t id;
    float gain;  ///< what the batch shows
};

/// How many rows each cluster gives when k are taken in turn from the clusters in `order`, of which
/// each has `available` rows; clusters that have given all are passed over. Local.
std::vector<std::int64_t> round_robin_shares(std::span<const std::uint32_t> order,
                                             std::span<const std::int64_t> available,
                                             std::int64_t k);

/// Picks so from all ranks' rows, those of a cluster by key. `own` holds all of this rank's rows of
/// the clusters that have a share. Collective.
void pick_in_turn(Collective& collective, std::span<const std::uint32_t> order,
                  std::span<const std::int64_t> available, std::int64_t k,
                  std::vector<ClusterRow> own, Selection& selection);

}  // namespace thresher
