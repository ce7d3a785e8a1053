// The row nearest to the centre of each of k clusters.

#include <algorithm>
#include <cmath>
#include <numeric>

#include "src/acquisition/joint/acquisitions.hpp"
#include "src/acquisition/joint/k_means.hpp"
#include "src/acquisition/joint/round_robin.hpp"

namespace thresher {

void pick_centroid(Collective& collective, JointShard& shard, const JointOptions& options,
                   Selection& selection) {
    const std::vector<std::size_t> rows = shard.offsets(RowState::open);
    const Clusters clusters = k_means(collective, shard, rows, options.k, options);
    std::vector<std::uint32_t> order(clusters.size.size());
    std::iota(order.begin(), order.end(), 0U);
    std::stable_sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
        return clusters.size[a] > clusters.size[b];
    });
    std::vector<ClusterRow> own;
    own.reserve(rows.size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const float distance = std::sqrt(clusters.distances[i]);
        own.push_back({clusters.of[i], -double{distance}, shard.id(rows[i]), -distance});
    }
    pick_in_turn(collective, order, clusters.size, options.k, std::move(own), selection);
}

}  // namespace thresher
