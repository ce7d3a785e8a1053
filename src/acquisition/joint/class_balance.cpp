// The row that most evens out the classes of what is labelled: an oracle, which looks at the labels
// of what it picks from.

#include <cmath>

#include "src/acquisition/joint/acquisitions.hpp"
#include "src/acquisition/joint/shard.hpp"
#include "src/base/agreement.hpp"

namespace thresher {

void pick_class_balance(Collective& collective, JointShard& shard, const JointOptions& options,
                        Selection& selection) {
    const JointRows& rows = shard.rows();
    const auto width = static_cast<std::size_t>(rows.label_classes);
    const auto counts_of = [&](std::size_t offset) {
        return rows.class_counts.subspan(offset * width, width);
    };
    // Counts are whole numbers, so their sums are exact in any order.
    std::vector<double> known(width, 0.0);
    for (const std::size_t offset : shard.offsets(RowState::labelled)) {
        for (std::size_t c = 0; c < width; ++c) known[c] += double{counts_of(offset)[c]};
    }
    collective.all_reduce_sum(std::span(known));
    std::vector<Proposal> pieces;
    std::vector<float> picked(width);
    for (std::int64_t pick = 0; pick < options.k; ++pick) {
        const Proposal own =
            best_of_pieces(shard.size(), pieces, [&](std::size_t begin, std::size_t end) {
                Proposal best;
                for (std::size_t row = begin; row < end; ++row) {
                    if (!shard.open(row)) continue;
                    double gain = 0.0;
                    for (std::size_t c = 0; c < width; ++c) {
                        gain += std::log1p(double{counts_of(row)[c]} / (1.0 + known[c]));
                    }
                    best.consider(gain, shard.id(row), row);
                }
                return best;
            });
        const GlobalBest best = shard.pick(collective, own);
        add_pick(collective, selection, best.id, best.score);
        if (best.rank == collective.rank()) {
            const auto row = counts_of(own.offset);
            std::copy(row.begin(), row.end(), picked.begin());
        }
        collective.broadcast(std::span(picked), best.rank);
        for (std::size_t c = 0; c < width; ++c) known[c] += double{picked[c]};
    }
}

}  // namespace thresher
