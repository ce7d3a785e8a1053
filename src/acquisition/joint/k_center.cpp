// The row furthest from every centre so far, again and again.

#include <cmath>
#include <limits>
#include <optional>

#include "src/acquisition/joint/acquisitions.hpp"
#include "src/acquisition/joint/distances.hpp"
#include "src/acquisition/joint/shard.hpp"
#include "src/base/agreement.hpp"
#include "src/base/thread_team.hpp"

namespace thresher {

namespace {

constexpr float kNoCentre = std::numeric_limits<float>::infinity();
constexpr std::size_t kLabelledBatch = 256;  // labelled rows shared at a time
constexpr std::size_t kCacheRows = 64;       // rows that stay in cache while centres pass by

/// Squared distances of this rank's rows to their nearest centre.
class NearestCentre {
  public:
    explicit NearestCentre(const JointShard& shard)
        : shard_(shard), nearest_(shard.size(), kNoCentre) {}

    /// Centres [m, d]. Local.
    void add(std::span<const float> centres) {
        const std::size_t d = shard_.embedding_size();
        parallel_for(static_cast<std::int64_t>(nearest_.size()), kCacheRows,
                     [&](std::int64_t begin, std::int64_t end) {
                         for (std::size_t c = 0; c < centres.size(); c += d) {
                             add(centres.subspan(c, d), static_cast<std::size_t>(begin),
                                 static_cast<std::size_t>(end));
                         }
                     });
    }

    /// One centre for the rows [begin, end) alone. Local.
    void add(std::span<const float> centre, std::size_t begin, std::size_t end) {
        const std::size_t d = centre.size();
        update_nearest(shard_.rows().embeddings.subspan(begin * d, (end - begin) * d), centre,
                       std::span(nearest_).subspan(begin, end - begin));
    }

    Proposal furthest(std::size_t begin, std::size_t end) const {
        Proposal best;
        for (std::size_t row = begin; row < end; ++row) {
            if (nearest_[row] < best.score && best.id >= 0) continue;
            if (shard_.open(row)) best.consider(nearest_[row], shard_.id(row), row);
        }
        return best;
    }

  private:
    const JointShard& shard_;
    std::vector<float> nearest_;
};

}  // namespace

void pick_k_center(Collective& collective, JointShard& shard, const JointOptions& options,
                   Selection& selection) {
    std::vector<float> centre;
    std::vector<Proposal> pieces;
    std::vector<std::size_t> labelled;
    std::optional<NearestCentre> nearest;
    agree(collective, [&] {
        nearest.emplace(shard);
        centre.resize(shard.embedding_size());
        labelled = shard.offsets(RowState::labelled);
    });
    if (shard.all_labelled() > 0) {
        share_rows(
            collective, shard, labelled, kLabelledBatch,
            [&](std::span<const float> centres, int, std::size_t) { nearest->add(centres); });
    }
    for (std::int64_t pick = 0; pick < options.k; ++pick) {
        // One pass over the rows: the distance to the last pick, and the furthest row.
        const Proposal own =
            best_of_pieces(shard.size(), pieces, [&](std::size_t begin, std::size_t end) {
                if (pick > 0) nearest->add(centre, begin, end);
                return nearest->furthest(begin, end);
            });
        const GlobalBest best = shard.pick(collective, own);
        add_pick(collective, selection, best.id,
                 std::isfinite(best.score) ? std::sqrt(best.score) : 0.0);
        if (best.rank == collective.rank()) {
            const auto row = shard.embedding(own.offset);
            std::copy(row.begin(), row.end(), centre.begin());
        }
        collective.broadcast(std::span(centre), best.rank);
    }
}

}  // namespace thresher
