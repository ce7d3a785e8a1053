// Rows between two classes, from as many clusters as possible, the small ones first.

#include <algorithm>
#include <array>
#include <limits>
#include <numeric>

#include "src/acquisition/joint/acquisitions.hpp"
#include "src/acquisition/joint/k_means.hpp"
#include "src/acquisition/joint/mean_prediction.hpp"
#include "src/acquisition/joint/round_robin.hpp"
#include "src/base/thread_team.hpp"
#include "src/random/philox.hpp"
#include "src/selection/global_threshold.hpp"
#include "src/selection/ordered_key.hpp"

namespace thresher {

namespace {

constexpr std::int64_t kGrain = 1024;  // rows a thread takes at a time

/// 1 - (p_(1) - p_(2)) of the mean prediction of each of `rows`.
std::vector<float> margin_scores(const JointShard& shard, std::span<const std::size_t> rows) {
    const auto classes = static_cast<std::size_t>(shard.rows().classes);
    const auto outputs = static_cast<std::size_t>(shard.rows().samples) * classes;
    std::vector<float> scores(rows.size());
    parallel_for(
        static_cast<std::int64_t>(rows.size()), kGrain, [&](std::int64_t begin, std::int64_t end) {
            std::vector<double> mean(classes);
            for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
                mean_prediction(shard.rows().log_probs.subspan(rows[i] * outputs, outputs), mean);
                double first = 0.0, second = 0.0;
                for (const double p : mean) {
                    second = std::max(second, std::min(first, p));
                    first = std::max(first, p);
                }
                scores[i] = static_cast<float>(1.0 - (first - second));
            }
        });
    return scores;
}

/// Keeps the `wanted` rows of the highest scores over all ranks, ties by id. Collective.
void keep_highest(Collective& collective, const JointShard& shard, std::int64_t wanted,
                  std::vector<std::size_t>& rows, std::vector<float>& scores) {
    std::vector<std::uint32_t> keys(scores.size());
    std::transform(scores.begin(), scores.end(), keys.begin(), ordered_key);
    const std::array<std::span<const std::uint32_t>, 1> pieces{keys};
    const Threshold cut = find_threshold(collective, pieces, wanted);
    std::int64_t id_cut = std::numeric_limits<std::int64_t>::max();
    if (cut.greater + cut.equal > wanted) {
        std::vector<std::int64_t> tied;
        for (std::size_t i = 0; i < rows.size(); ++i) {
            if (keys[i] == cut.key) tied.push_back(shard.id(rows[i]));
        }
        id_cut = find_id_cut(collective, tied, wanted - cut.greater);
    }
    std::size_t kept = 0;
    for (std::size_t i = 0; i < rows.size(); ++i) {
        if (keys[i] < cut.key || (keys[i] == cut.key && shard.id(rows[i]) > id_cut)) continue;
        rows[kept] = rows[i];
        scores[kept++] = scores[i];
    }
    rows.resize(kept);
    scores.resize(kept);
}

}  // namespace

void pick_cluster_margin(Collective& collective, JointShard& shard, const JointOptions& options,
                         Selection& selection) {
    std::vector<std::size_t> rows = shard.offsets(RowState::open);
    std::vector<float> scores = margin_scores(shard, rows);
    // Without overflow: k is at most the number of open rows.
    const std::int64_t candidates = options.k > shard.all_open() / options.margin_factor
                                        ? shard.all_open()
                                        : options.k * options.margin_factor;
    keep_highest(collective, shard, candidates, rows, scores);
    const Clusters clusters =
        k_means(collective, shard, rows, std::min(options.k, kMostClusters), options);
    std::vector<std::uint32_t> order(clusters.size.size());
    std::iota(order.begin(), order.end(), 0U);
    std::stable_sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
        return clusters.size[a] < clusters.size[b];
    });
    const KeyedRandom random(options.seed, Stream::cluster_margin, options.round);
    std::vector<ClusterRow> own;
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const std::int64_t id = shard.id(rows[i]);
        own.push_back({clusters.of[i], random.uniform(id), id, scores[i]});
    }
    pick_in_turn(collective, order, clusters.size, options.k, std::move(own), selection);
}

}  // namespace thresher
