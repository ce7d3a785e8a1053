// k-means++ on gradient embeddings g = (p - onehot(argmax p)) x h, which are never formed.

#include <cmath>
#include <optional>

#include "src/acquisition/joint/acquisitions.hpp"
#include "src/acquisition/joint/gradients.hpp"
#include "src/acquisition/joint/race.hpp"
#include "src/base/agreement.hpp"

namespace thresher {

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
            race.enter_rows(shard, gradients->nearest(begin, end), begin);
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
