// The row whose label, together with those picked before, says most about the model.

#include <algorithm>
#include <optional>

#include "src/acquisition/joint/acquisitions.hpp"
#include "src/acquisition/joint/configurations.hpp"
#include "src/acquisition/joint/shard.hpp"
#include "src/base/agreement.hpp"
#include "src/base/thread_team.hpp"

namespace thresher {

namespace {

constexpr std::int64_t kGrain = 16;      // rows a thread scores at a time
constexpr std::size_t kFirstBatch = 64;  // rows scored before the first look at who is beaten
/// Above the rounding of any gain, far below what a batch could be worth.
constexpr double kSlack = 1e-9;

/// The gains of this rank's open rows, as far as they need to be known.
class Gains {
  public:
    explicit Gains(const JointShard& shard)
        : shard_(shard),
          samples_(static_cast<std::size_t>(shard.rows().samples)),
          classes_(static_cast<std::size_t>(shard.rows().classes)),
          mean_entropies_(shard.size()),
          gains_(shard.size()),
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

    /// This rank's row of the largest gain, scoring all open rows.
    Proposal best_of_all(const Configurations& configurations) {
        score(configurations, open_);
        Proposal best;
        for (const std::size_t row : open_) best.consider(gains_[row], shard_.id(row), row);
        return best;
    }

    /// The same, where what a row adds never grows while the batch does, so that its gain of an
    /// earlier pick bounds it (lazy greedy, Minoux 1978): rows are scored from the largest bound
    /// down, until no bound reaches the best gain.
    Proposal best_by_bounds(const Configurations& configurations) {
        Proposal best;
        auto rest = std::span(open_);
        std::size_t batch = kFirstBatch;
        while (!rest.empty()) {
            if (best.id >= 0) {
                const auto beaten = std::partition(rest.begin(), rest.end(), [&](std::size_t row) {
                    return gains_[row] >= best.score - kSlack;
                });
                rest = rest.first(static_cast<std::size_t>(beaten - rest.begin()));
            }
            const std::size_t count = std::min(batch, rest.size());
            const auto larger = [&](std::size_t a, std::size_t b) { return gains_[a] > gains_[b]; };
            if (count < rest.size()) {
                std::nth_element(rest.begin(), rest.begin() + static_cast<std::ptrdiff_t>(count),
                                 rest.end(), larger);
            }
            score(configurations, rest.first(count));
            for (const std::size_t row : rest.first(count)) {
                best.consider(gains_[row], shard_.id(row), row);
            }
            rest = rest.subspan(count);
            batch *= 2;
        }
        return best;
    }

    void close(std::size_t row) { open_.erase(std::find(open_.begin(), open_.end(), row)); }

  private:
    void score(const Configurations& configurations, std::span<const std::size_t> rows) {
        parallel_for(static_cast<std::int64_t>(rows.size()), kGrain,
                     [&](std::int64_t begin, std::int64_t end) {
                         RowProbabilities row(samples_, classes_);
                         for (auto i = static_cast<std::size_t>(begin);
                              i < static_cast<std::size_t>(end); ++i) {
                             row.set(log_probs(rows[i]));
                             gains_[rows[i]] =
                                 configurations.information_gain(row, mean_entropies_[rows[i]]);
                         }
                     });
    }

    const JointShard& shard_;
    std::size_t samples_, classes_;
    std::vector<double> mean_entropies_;
    std::vector<double> gains_;  ///< when last scored
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
        const Proposal own = pick > 0 && configurations->exact()
                                 ? gains->best_by_bounds(*configurations)
                                 : gains->best_of_all(*configurations);
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
