// The most typical row of each cluster that has no labelled row.

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <tuple>

#include "src/acquisition/joint/acquisitions.hpp"
#include "src/acquisition/joint/distances.hpp"
#include "src/acquisition/joint/k_means.hpp"
#include "src/acquisition/joint/round_robin.hpp"
#include "src/base/thread_team.hpp"
#include "src/random/philox.hpp"

namespace thresher {

namespace {

constexpr std::size_t kNeighbours = 20;
constexpr std::int64_t kSmallCluster = 5;       // a smaller one comes last
constexpr std::int64_t kMostMembers = 1 << 14;  // neighbours are sought among so many, or a sample
constexpr std::size_t kSharedRows = 256;
constexpr std::size_t kTileRows = 64;

/// The smallest squared distances of some rows to their neighbours.
class Neighbours {
  public:
    Neighbours(const JointShard& shard, std::span<const std::size_t> rows)
        : shard_(shard), rows_(rows), nearest_(rows.size() * kNeighbours), count_(rows.size(), 0) {}

    /// Rows that may be neighbours; those of this rank are at `own` and no neighbours of
    /// themselves.
    void add(std::span<const float> others, std::span<const std::size_t> own) {
        packed_.pack(others, shard_.embedding_size());
        parallel_for(static_cast<std::int64_t>(rows_.size()), kTileRows,
                     [&](std::int64_t begin, std::int64_t end) {
                         add(own, static_cast<std::size_t>(begin), static_cast<std::size_t>(end));
                     });
    }

    /// Mean distance to the neighbours found; 0 where there is none.
    double mean_distance(std::size_t i) {
        const std::size_t count = count_[i];
        const auto found = std::span(nearest_).subspan(i * kNeighbours, count);
        std::sort(found.begin(), found.end());
        double sum = 0.0;
        for (const float distance : found) sum += std::sqrt(double{distance});
        return count == 0 ? 0.0 : sum / static_cast<double>(count);
    }

  private:
    void add(std::span<const std::size_t> own, std::size_t begin, std::size_t end) {
        std::vector<float> copies, tile((end - begin) * packed_.width());
        pair_up(Pairing::squared_distance,
                shard_.embeddings_of(rows_.subspan(begin, end - begin), copies), packed_, tile);
        for (std::size_t i = begin; i < end; ++i) {
            const float* distances = tile.data() + (i - begin) * packed_.width();
            for (std::size_t j = 0; j < packed_.rows(); ++j) {
                if (own.empty() || own[j] != rows_[i]) insert(i, distances[j]);
            }
        }
    }

    /// A heap whose front is the largest of the smallest.
    void insert(std::size_t i, float distance) {
        const auto begin = nearest_.begin() + static_cast<std::ptrdiff_t>(i * kNeighbours);
        if (count_[i] == kNeighbours) {
            if (!(distance < *begin)) return;
            std::pop_heap(begin, begin + kNeighbours);
            begin[kNeighbours - 1] = distance;
        } else {
            begin[count_[i]++] = distance;
        }
        std::push_heap(begin, begin + count_[i]);
    }

    const JointShard& shard_;
    std::span<const std::size_t> rows_;
    std::vector<float> nearest_;       ///< [rows, kNeighbours]
    std::vector<std::uint8_t> count_;  ///< neighbours found so far
    PackedRows packed_;
};

/// This rank's rows of each cluster, ascending.
std::vector<std::vector<std::size_t>> members_of(const Clusters& clusters,
                                                 std::span<const std::size_t> rows) {
    std::vector<std::vector<std::size_t>> members(clusters.size.size());
    for (std::size_t i = 0; i < rows.size(); ++i) members[clusters.of[i]].push_back(rows[i]);
    return members;
}

/// Typicality of the open rows of one cluster. Collective.
void rate_members(Collective& collective, const JointShard& shard, std::uint32_t cluster,
                  std::int64_t size, std::vector<std::size_t> members, const KeyedRandom& random,
                  std::vector<ClusterRow>& rated) {
    std::vector<std::size_t> open;
    std::copy_if(members.begin(), members.end(), std::back_inserter(open),
                 [&](std::size_t row) { return shard.open(row); });
    const double share = static_cast<double>(kMostMembers) / static_cast<double>(size);
    std::erase_if(members, [&](std::size_t row) { return random.uniform(shard.id(row)) >= share; });
    Neighbours neighbours(shard, open);
    share_rows(collective, shard, members, kSharedRows,
               [&](std::span<const float> rows, int owner, std::size_t first) {
                   const std::size_t count = rows.size() / shard.embedding_size();
                   neighbours.add(rows,
                                  owner == collective.rank()
                                      ? std::span<const std::size_t>(members).subspan(first, count)
                                      : std::span<const std::size_t>());
               });
    for (std::size_t i = 0; i < open.size(); ++i) {
        const double distance = neighbours.mean_distance(i);
        rated.push_back({cluster, -distance, shard.id(open[i]), static_cast<float>(-distance)});
    }
}

}  // namespace

void pick_typiclust(Collective& collective, JointShard& shard, const JointOptions& options,
                    Selection& selection) {
    std::vector<std::size_t> rows;
    for (std::size_t row = 0; row < shard.size(); ++row) {
        if (shard.state(row) != RowState::out) rows.push_back(row);
    }
    const Clusters clusters =
        k_means(collective, shard, rows, std::min(shard.all_labelled() + options.k, kMostClusters),
                options);
    const auto members = members_of(clusters, rows);
    std::vector<std::int64_t> labelled(members.size(), 0), open(members.size(), 0);
    for (std::size_t cluster = 0; cluster < members.size(); ++cluster) {
        for (const std::size_t row : members[cluster]) {
            ++(shard.open(row) ? open : labelled)[cluster];
        }
    }
    collective.all_reduce_sum(std::span(labelled));
    collective.all_reduce_sum(std::span(open));

    // Few labelled rows first, then the largest clusters; small ones, often outliers, last.
    std::vector<std::uint32_t> order(members.size());
    std::iota(order.begin(), order.end(), 0U);
    std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
        const auto rank = [&](std::uint32_t c) {
            return std::tuple(clusters.size[c] < kSmallCluster, labelled[c], -clusters.size[c], c);
        };
        return rank(a) < rank(b);
    });
    const std::vector<std::int64_t> shares = round_robin_shares(order, open, options.k);
    const KeyedRandom random(options.seed, Stream::typicality_sample, options.round);
    std::vector<ClusterRow> rated;
    for (const std::uint32_t cluster : order) {
        if (shares[cluster] == 0) continue;
        rate_members(collective, shard, cluster, clusters.size[cluster], members[cluster], random,
                     rated);
    }
    pick_in_turn(collective, order, open, options.k, std::move(rated), selection);
}

}  // namespace thresher
