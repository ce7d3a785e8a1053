#pragma once

// The bodies of the joint acquisitions; joint.cpp names them and says what each is. All collective.

#include "src/acquisition/joint/joint.hpp"

namespace thresher {

/// Rows that badge, batchbald and centroid pick at most: each draws other random numbers, which are
/// numbered in 16 bits.
constexpr std::int64_t kMostDraws = 1 << 16;

/// Clusters that typiclust (as in its paper) and cluster-margin make at most.
constexpr std::int64_t kMostClusters = 500;

void pick_batchbald(Collective& collective, JointShard& shard, const JointOptions& options,
                    Selection& selection);
void pick_k_center(Collective& collective, JointShard& shard, const JointOptions& options,
                   Selection& selection);
void pick_centroid(Collective& collective, JointShard& shard, const JointOptions& options,
                   Selection& selection);
void pick_badge(Collective& collective, JointShard& shard, const JointOptions& options,
                Selection& selection);
void pick_typiclust(Collective& collective, JointShard& shard, const JointOptions& options,
                    Selection& selection);
void pick_facility_location(Collective& collective, JointShard& shard, const JointOptions& options,
                            Selection& selection);
void pick_class_balance(Collective& collective, JointShard& shard, const JointOptions& options,
                        Selection& selection);
void pick_cluster_margin(Collective& collective, JointShard& shard, const JointOptions& options,
                         Selection& selection);

}  // namespace thresher
