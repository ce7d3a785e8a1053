#include "src/acquisition/joint/k_means.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <limits>
#include <mutex>

#include "src/acquisition/joint/distances.hpp"
#include "src/acquisition/joint/exact_grid.hpp"
#include "src/acquisition/joint/race.hpp"
#include "src/base/agreement.hpp"
#include "src/base/check.hpp"
#include "src/base/thread_team.hpp"

namespace thresher {

namespace {

constexpr int kMostSteps = 25;
constexpr std::size_t kTileRows = 64;
constexpr std::size_t kPackedCentroids = 256;
constexpr float kFar = std::numeric_limits<float>::infinity();

class KMeans {
  public:
    KMeans(Collective& collective, const JointShard& shard, std::span<const std::size_t> rows,
           Clusters& clusters)
        : collective_(collective),
          shard_(shard),
          rows_(rows),
          clusters_(clusters),
          d_(shard.embedding_size()) {
        agree(collective, [&] {
            clusters_.of.assign(rows.size(), 0);
            clusters_.distances.assign(rows.size(), kFar);
        });
    }

    /// Rows drawn as the first centroids; none that another one equals.
    void seed(std::int64_t wanted, const KeyedRandom& random) {
        std::vector<Proposal> pieces;
        std::vector<float> centroid(d_);
        for (std::int64_t draw = 0; draw < wanted; ++draw) {
            const auto propose = [&](std::size_t begin, std::size_t end) {
                std::vector<float> copies;
                const auto distances = std::span(clusters_.distances).subspan(begin, end - begin);
                if (draw > 0) {
                    update_nearest(shard_.embeddings_of(rows_.subspan(begin, end - begin), copies),
                                   centroid, distances);
                }
                Race race(random, static_cast<std::uint16_t>(draw));
                for (std::size_t i = begin; i < end; ++i) {
                    race.enter(draw == 0 ? 1.0 : double{clusters_.distances[i]},
                               shard_.id(rows_[i]), rows_[i]);
                }
                return race.best();
            };
            const Proposal own = best_of_pieces(rows_.size(), pieces, propose);
            const GlobalBest best = collective_.argmax({own.score, own.id});
            if (!(best.score > 0.0)) break;  // every row equals a centroid
            if (best.rank == collective_.rank()) {
                const auto row = shard_.embedding(own.offset);
                std::copy(row.begin(), row.end(), centroid.begin());
            }
            collective_.broadcast(std::span(centroid), best.rank);
            clusters_.centroids.insert(clusters_.centroids.end(), centroid.begin(), centroid.end());
        }
    }

    /// Sends each row to its nearest centroid; true where that changed any row's. Collective.
    bool assign() {
        const std::size_t count = clusters_.centroids.size() / d_;
        std::vector<PackedRows> packs;
        for (std::size_t first = 0; first < count; first += kPackedCentroids) {
            const std::size_t packed = std::min(kPackedCentroids, count - first);
            packs.emplace_back().pack(
                std::span(clusters_.centroids).subspan(first * d_, packed * d_), d_);
        }
        std::atomic<std::int64_t> changes{0};
        parallel_for(static_cast<std::int64_t>(rows_.size()), 4 * kTileRows,
                     [&](std::int64_t begin, std::int64_t end) {
                         changes += assign(packs, static_cast<std::size_t>(begin),
                                           static_cast<std::size_t>(end));
                     });
        return any_rank(collective_, changes > 0);
    }

    /// Moves each centroid to the mean of its rows; one without any stays. Collective.
    void move(const ExactGrid& grid) {
        const std::size_t count = clusters_.centroids.size() / d_;
        std::vector<double> sums(count * d_, 0.0);
        clusters_.size.assign(count, 0);
        std::mutex mutex;
        // Exact sums have the same bits however the rows are cut, so each thread takes one piece.
        const auto rows = static_cast<std::int64_t>(rows_.size());
        const std::int64_t grain = std::max<std::int64_t>(1, (rows - 1) / threads_in_use() + 1);
        parallel_for(rows, grain, [&](std::int64_t begin, std::int64_t end) {
            std::vector<double> part(count * d_, 0.0);
            std::vector<std::int64_t> sizes(count, 0);
            for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
                const auto row = shard_.embedding(rows_[i]);
                double* sum = part.data() + clusters_.of[i] * d_;
                for (std::size_t j = 0; j < d_; ++j) sum[j] += grid(double{row[j]});
                ++sizes[clusters_.of[i]];
            }
            const std::lock_guard lock(mutex);
            for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += part[i];
            for (std::size_t c = 0; c < count; ++c) clusters_.size[c] += sizes[c];
        });
        collective_.all_reduce_sum(std::span(sums));
        collective_.all_reduce_sum(std::span(clusters_.size));
        for (std::size_t c = 0; c < count; ++c) {
            if (clusters_.size[c] == 0) continue;
            for (std::size_t j = 0; j < d_; ++j) {
                clusters_.centroids[c * d_ + j] =
                    static_cast<float>(sums[c * d_ + j] / static_cast<double>(clusters_.size[c]));
            }
        }
    }

    /// For sums of coordinates over all ranks' rows. Collective.
    ExactGrid grid() {
        float largest = 0.0F;
        for (const std::size_t row : rows_) {
            for (const float value : shard_.embedding(row)) {
                largest = std::max(largest, std::abs(value));
            }
        }
        std::array<std::int64_t, 1> rows{static_cast<std::int64_t>(rows_.size())};
        collective_.all_reduce_sum(rows);
        return {double{largest_of_ranks(collective_, largest)}, rows[0]};
    }

    void count() {
        clusters_.size.assign(clusters_.centroids.size() / d_, 0);
        for (const std::uint32_t cluster : clusters_.of) ++clusters_.size[cluster];
        collective_.all_reduce_sum(std::span(clusters_.size));
    }

  private:
    std::int64_t assign(std::span<const PackedRows> packs, std::size_t begin, std::size_t end) {
        std::vector<float> copies, tile(kTileRows * packs.front().width());
        std::int64_t changes = 0;
        for (std::size_t first = begin; first < end; first += kTileRows) {
            const std::size_t count = std::min(kTileRows, end - first);
            const auto rows = shard_.embeddings_of(rows_.subspan(first, count), copies);
            std::array<float, kTileRows> nearest;
            std::array<std::uint32_t, kTileRows> cluster{};
            nearest.fill(kFar);
            std::uint32_t base = 0;
            for (const PackedRows& packed : packs) {
                pair_up(Pairing::squared_distance, rows, packed, tile);
                for (std::size_t i = 0; i < count; ++i) {
                    const float* distances = tile.data() + i * packed.width();
                    for (std::uint32_t c = 0; c < packed.rows(); ++c) {
                        if (distances[c] < nearest[i]) {
                            nearest[i] = distances[c];
                            cluster[i] = base + c;
                        }
                    }
                }
                base += static_cast<std::uint32_t>(packed.rows());
            }
            for (std::size_t i = 0; i < count; ++i) {
                changes += clusters_.of[first + i] != cluster[i] ? 1 : 0;
                clusters_.of[first + i] = cluster[i];
                clusters_.distances[first + i] = nearest[i];
            }
        }
        return changes;
    }

    Collective& collective_;
    const JointShard& shard_;
    std::span<const std::size_t> rows_;
    Clusters& clusters_;
    std::size_t d_;
};

}  // namespace

Clusters k_means(Collective& collective, const JointShard& shard, std::span<const std::size_t> rows,
                 std::int64_t clusters, const JointOptions& options) {
    Clusters result;
    KMeans means(collective, shard, rows, result);
    means.seed(clusters, KeyedRandom(options.seed, Stream::k_means, options.round));
    const ExactGrid grid = means.grid();
    means.assign();
    for (int step = 0; step < kMostSteps; ++step) {
        means.move(grid);
        if (!means.assign()) break;
    }
    means.count();
    return result;
}

}  // namespace thresher
