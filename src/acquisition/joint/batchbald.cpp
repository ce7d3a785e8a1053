// The row whose label, together with those picked before, says most about the model.

#include <algorithm>
#include <limits>
#include <optional>

#include "src/acquisition/joint/acquisitions.hpp"
#include "src/acquisition/joint/configurations.hpp"
#include "src/acquisition/joint/shard.hpp"
#include "src/base/agreement.hpp"
#include "src/base/thread_team.hpp"

namespace thresher {

namespace {

constexpr std::int64_t kGrain = 16;      // rows a thread scores at a time
constexpr std::size_t kFirstBatch = 64;  // rows estimated before the first look at who is beaten
/// Above the rounding of any gain, far below what a batch could be worth.
constexpr double kSlack = 1e-9;
constexpr double kUnbounded = std::numeric_limits<double>::infinity();

/// The gains of this rank's open rows, as far as they need to be known.
class Gains {
  public:
    explicit Gains(const JointShard& shard)
        : shard_(shard),
          samples_(static_cast<std::size_t>(shard.rows().samples)),
          classes_(static_cast<std::size_t>(shard.rows().classes)),
          mean_entropies_(shard.size()),
          bounds_(shard.size(), kUnbounded),
          open_(shard.offsets(RowState::open)) {
        parallel_for(static_cast<std::int64_t>(open_.size()), kGrain,
                     [&](std::int64_t begin, std::int64_t end) {
                         RowProbabilities row(samples_, classes_);
                         for (auto i = static_cast<std::size_t>(begin);
                              i < static_cast<std::size_t>(end); ++i) {
                             row.set(log_probs(open_[i]));
                             mean_entropies_[open_[i]] = row.mean_entropy();
                         }
                     });
    }

    std::span<const float> log_probs(std::size_t row) const {
        return shard_.rows().log_probs.subspan(row * samples_ * classes_, samples_ * classes_);
    }

    /// This rank's row of the largest gain. While configurations are exact, what a row adds never
    /// grows with the batch, so that its gain of an earlier pick bounds it (lazy greedy, Minoux
    /// 1978): rows are estimated from the largest bound down, until no bound reaches the best
    /// estimate. Those that come near it are then computed in full.
    Proposal best(const Configurations& configurations) {
        if (!configurations.exact()) {
            for (const std::size_t row : open_) bounds_[row] = kUnbounded;
        }
        const double error = configurations.estimate_error();
        double reached = 0.0;  // the best gain is no less
        auto rest = std::span(open_);
        for (std::size_t batch = kFirstBatch; !rest.empty(); batch *= 2) {
            rest = move_reaching_to_front(rest, reached);
            const std::size_t count = std::min(batch, rest.size());
            if (count < rest.size()) {
                std::nth_element(
                    rest.begin(), rest.begin() + static_cast<std::ptrdiff_t>(count), rest.end(),
                    [&](std::size_t a, std::size_t b) { return bounds_[a] > bounds_[b]; });
            }
            const auto now = rest.first(count);
            score(now, [&](const RowProbabilities& row, double mean_entropy) {
                return configurations.estimated_gain(row, mean_entropy) + error;
            });
            for (const std::size_t row : now)
                reached = std::max(reached, bounds_[row] - 2.0 * error);
            rest = rest.subspan(count);
        }
        const auto near = move_reaching_to_front(open_, reached);
        score(near, [&](const RowProbabilities& row, double mean_entropy) {
            return configurations.information_gain(row, mean_entropy);
        });
        Proposal best;
        for (const std::size_t row : near) best.consider(bounds_[row], shard_.id(row), row);
        // Bounds of later picks stay above their gains by more than rounding.
        for (const std::size_t row : near) bounds_[row] += kSlack;
        return best;
    }

    void close(std::size_t row) { open_.erase(std::find(open_.begin(), open_.end(), row)); }

  private:
    std::span<std::size_t> move_reaching_to_front(std::span<std::size_t> rows, double reached) {
        const auto end = std::partition(rows.begin(), rows.end(),
                                        [&](std::size_t row) { return bounds_[row] >= reached; });
        return rows.first(static_cast<std::size_t>(end - rows.begin()));
    }

    /// Sets the bounds of `rows` to gain(row, its mean entropy).
    template <class Gain>
    void score(std::span<const std::size_t> rows, const Gain& gain) {
        parallel_for(static_cast<std::int64_t>(rows.size()), kGrain,
                     [&](std::int64_t begin, std::int64_t end) {
                         RowProbabilities row(samples_, classes_);
                         for (auto i = static_cast<std::size_t>(begin);
                              i < static_cast<std::size_t>(end); ++i) {
                             row.set(log_probs(rows[i]));
                             bounds_[rows[i]] = gain(row, mean_entropies_[rows[i]]);
                         }
                     });
    }

    const JointShard& shard_;
    std::size_t samples_, classes_;
    std::vector<double> mean_entropies_;
    std::vector<double> bounds_;  ///< no row's gain is above its own
    std::vector<std::size_t> open_;
};

}  // namespace

void pick_batchbald(Collective& collective, JointShard& shard, const JointOptions& options,
                    Selection& selection) {
    const auto samples = static_cast<std::size_t>(shard.rows().samples);
    const auto classes = static_cast<std::size_t>(shard.rows().classes);
    std::optional<Gains> gains;
    std::optional<Configurations> configurations;
    std::vector<float> shared;
    agree(collective, [&] {
        gains.emplace(shard);
        configurations.emplace(samples, classes, options.configurations,
                               KeyedRandom(options.seed, Stream::batchbald, options.round));
        shared.resize(samples * classes);
    });
    RowProbabilities row(samples, classes);
    for (std::int64_t pick = 0; pick < options.k; ++pick) {
        const Proposal own = gains->best(*configurations);
        const GlobalBest best = shard.pick(collective, own);
        add_pick(collective, selection, best.id, best.score);
        if (best.rank == collective.rank()) {
            const auto values = gains->log_probs(own.offset);
            std::copy(values.begin(), values.end(), shared.begin());
            gains->close(own.offset);
        }
        if (pick + 1 == options.k) break;
        collective.broadcast(std::span(shared), best.rank);
        row.set(shared);
        configurations->add(row);
    }
}

}  // namespace thresher
