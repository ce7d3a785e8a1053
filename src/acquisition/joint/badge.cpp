// k-means++ on gradient embeddings g = (p - onehot(argmax p)) x h, which are never formed.

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "src/acquisition/joint/acquisitions.hpp"
#include "src/acquisition/joint/distances.hpp"
#include "src/acquisition/joint/mean_prediction.hpp"
#include "src/acquisition/joint/race.hpp"
#include "src/acquisition/joint/shard.hpp"
#include "src/base/agreement.hpp"
#include "src/base/thread_team.hpp"

namespace thresher {

namespace {

constexpr std::int64_t kGrain = 1024;  // rows a thread takes at a time

/// The factors of this rank's gradient embeddings, and their squared distances to the nearest pick.
class Gradients {
  public:
    explicit Gradients(const JointShard& shard)
        : shard_(shard),
          classes_(static_cast<std::size_t>(shard.rows().classes)),
          residuals_(shard.size() * classes_),
          norms_(shard.size()),
          nearest_(shard.size(), std::numeric_limits<float>::infinity()) {
        const std::size_t d = shard.embedding_size();
        const auto outputs = static_cast<std::size_t>(shard.rows().samples) * classes_;
        parallel_for(
            static_cast<std::int64_t>(shard.size()), kGrain,
            [&](std::int64_t from, std::int64_t to) {
                const auto begin = static_cast<std::size_t>(from);
                const auto end = static_cast<std::size_t>(to);
                squared_norms(shard.rows().embeddings.subspan(begin * d, (end - begin) * d), d,
                              std::span(norms_).subspan(begin, end - begin));
                std::vector<double> mean(classes_);
                for (std::size_t row = begin; row < end; ++row) {
                    if (!shard.open(row)) continue;
                    mean_prediction(shard.rows().log_probs.subspan(row * outputs, outputs), mean);
                    *std::max_element(mean.begin(), mean.end()) -= 1.0;
                    std::transform(mean.begin(), mean.end(),
                                   residuals_.begin() + static_cast<std::ptrdiff_t>(row * classes_),
                                   [](double value) { return static_cast<float>(value); });
                    float residual_norm = 0.0F;
                    squared_norms(residual(row), classes_, std::span(&residual_norm, 1));
                    norms_[row] *= residual_norm;
                }
            });
    }

    std::size_t factor_size() const { return classes_ + shard_.embedding_size(); }

    double squared_norm(std::size_t row) const { return norms_[row]; }
    double nearest(std::size_t row) const { return nearest_[row]; }

    /// residual and embedding of a row, one after the other.
    void copy_factors(std::size_t row, std::span<float> factors) const {
        const auto from = residual(row), embedding = shard_.embedding(row);
        std::copy(from.begin(), from.end(), factors.begin());
        std::copy(embedding.begin(), embedding.end(),
                  factors.begin() + static_cast<std::ptrdiff_t>(classes_));
    }

    /// Takes account of a pick, for the rows [begin, end).
    void add(std::span<const float> factors, std::size_t begin, std::size_t end) {
        const std::size_t d = shard_.embedding_size(), count = end - begin;
        const GradientRows rows{std::span(residuals_).subspan(begin * classes_, count * classes_),
                                shard_.rows().embeddings.subspan(begin * d, count * d),
                                std::span(norms_).subspan(begin, count), classes_, d};
        update_nearest(rows, factors.first(classes_), factors.subspan(classes_),
                       std::span(nearest_).subspan(begin, count));
    }

  private:
    std::span<const float> residual(std::size_t row) const {
        return std::span(residuals_).subspan(row * classes_, classes_);
    }

    const JointShard& shard_;
    std::size_t classes_;
    std::vector<float> residuals_;
    std::vector<float> norms_;    ///< |g|^2
    std::vector<float> nearest_;  ///< squared distance to the nearest pick
};

}  // namespace

void pick_badge(Collective& collective, JointShard& shard, const JointOptions& options,
                Selection& selection) {
    std::optional<Gradients> gradients;
    std::vector<Proposal> pieces;
    std::vector<float> shared;  // the gain of the pick, then its factors
    agree(collective, [&] {
        gradients.emplace(shard);
        shared.resize(1 + gradients->factor_size());
    });
    const auto factors = std::span(shared).subspan(1);
    const KeyedRandom random(options.seed, Stream::badge, options.round);
    for (std::int64_t pick = 0; pick < options.k; ++pick) {
        const auto propose = [&](std::size_t begin, std::size_t end) {
            if (pick == 0) {
                Proposal best;
                for (std::size_t row = begin; row < end; ++row) {
                    if (shard.open(row)) {
                        best.consider(gradients->squared_norm(row), shard.id(row), row);
                    }
                }
                return best;
            }
            gradients->add(factors, begin, end);
            Race race(random, static_cast<std::uint16_t>(pick));
            for (std::size_t row = begin; row < end; ++row) {
                if (shard.open(row)) race.enter(gradients->nearest(row), shard.id(row), row);
            }
            return race.best();
        };
        const Proposal own = best_of_pieces(shard.size(), pieces, propose);
        const GlobalBest best = shard.pick(collective, own);
        if (best.rank == collective.rank()) {
            const double square =
                pick == 0 ? gradients->squared_norm(own.offset) : gradients->nearest(own.offset);
            shared[0] = static_cast<float>(std::sqrt(square));
            gradients->copy_factors(own.offset, factors);
        }
        collective.broadcast(std::span(shared), best.rank);
        add_pick(collective, selection, best.id, double{shared[0]});
    }
}

}  // namespace thresher
