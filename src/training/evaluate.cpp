#include "src/training/evaluate.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <span>

#include "src/base/agreement.hpp"
#include "src/base/check.hpp"
#include "src/base/tree_sum.hpp"
#include "src/strategy/predictor.hpp"

namespace thresher {
namespace {

constexpr std::size_t kBins = 15;
/// Rows a block of an ExampleSource; whole micro-batches.
constexpr std::int64_t kBlockRows = 1024;

/// Sums of one block: the loss, and the confidence by bin.
constexpr std::size_t kSums = 1 + kBins;

class Tally {
  public:
    explicit Tally(std::int64_t classes)
        : classes_(static_cast<std::size_t>(classes)), counts_(2 * kBins + 3 * classes_ + 2) {}

    void add_block(std::span<const float> log_probs, std::span<const std::int64_t> targets) {
        sums_.resize(sums_.size() + kSums);
        double* sums = sums_.data() + sums_.size() - kSums;
        for (std::size_t i = 0; i < targets.size(); ++i) {
            const std::int64_t target = targets[i];
            if (target < 0 || target >= static_cast<std::int64_t>(classes_)) {
                ++without_target();
                continue;
            }
            const auto row = log_probs.subspan(i * classes_, classes_);
            const auto truth = static_cast<std::size_t>(target);
            const auto guess =
                static_cast<std::size_t>(std::max_element(row.begin(), row.end()) - row.begin());
            const double confidence = std::exp(static_cast<double>(row[guess]));
            // Bin b holds (b / 15, (b + 1) / 15]; a NaN falls into bin 0 and shows in the loss.
            const double place = std::ceil(confidence * kBins) - 1.0;
            const auto bin = static_cast<std::size_t>(
                place > 0.0 ? std::min(place, static_cast<double>(kBins - 1)) : 0.0);
            ++rows();
            ++support(truth);
            ++predicted(guess);
            ++bin_rows(bin);
            if (guess == truth) {
                ++correct(truth);
                ++bin_correct(bin);
            }
            sums[0] -= static_cast<double>(row[truth]);
            sums[1 + bin] += confidence;
        }
    }

    /// Collective. The ranks hold the blocks of `blocks` from `first_block` on.
    Evaluation finish(Collective& collective, std::int64_t blocks, std::int64_t first_block) {
        std::vector<double> total(kSums);
        tree_all_reduce<double>(collective, blocks, first_block, sums_, total);
        collective.all_reduce_sum(counts_);
        Evaluation result;
        result.rows = rows();
        result.without_target = without_target();
        if (result.rows == 0) return result;
        const auto share = 1.0 / static_cast<double>(result.rows);
        result.mean_loss = total[0] * share;
        for (std::size_t bin = 0; bin < kBins; ++bin) {
            const auto hits = static_cast<double>(bin_correct(bin));
            result.calibration_error += std::abs(hits - total[1 + bin]) * share;
        }
        for (std::size_t c = 0; c < classes_; ++c) {
            result.classes.push_back({support(c), predicted(c), correct(c)});
            result.correct += correct(c);
        }
        return result;
    }

  private:
    std::int64_t& rows() { return counts_[0]; }
    std::int64_t& without_target() { return counts_[1]; }
    std::int64_t& bin_rows(std::size_t bin) { return counts_[2 + bin]; }
    std::int64_t& bin_correct(std::size_t bin) { return counts_[2 + kBins + bin]; }
    std::int64_t& support(std::size_t c) { return counts_[2 + 2 * kBins + c]; }
    std::int64_t& predicted(std::size_t c) { return counts_[2 + 2 * kBins + classes_ + c]; }
    std::int64_t& correct(std::size_t c) { return counts_[2 + 2 * kBins + 2 * classes_ + c]; }

    std::size_t classes_;
    std::vector<std::int64_t> counts_;
    std::vector<double> sums_;  ///< [own blocks, kSums]
};

/// Predicts the blocks that `next` hands out, and adds up what came of them over the ranks.
Evaluation evaluate_blocks(const Model& model, const PoolInfo& pool, Collective& collective,
                           const BlockPartition& partition,
                           const std::function<bool(Block&)>& next) {
    Tally tally(model.spec().classes);
    agree(collective, [&] {
        THRESHER_CHECK(
            pool.has_targets,
            "pool {} has no targets, so a model cannot be evaluated on it; use a labelled "
            "pool",
            pool.path);
        Predictor predictor(ModelRoles{&model, nullptr}, pool, PredictorOptions{});
        Predictions predictions;
        Block block;
        while (next(block)) {
            give_up_if_others_failed(collective);
            predictor.predict(block, predictions);
            tally.add_block(predictions.log_probs, block.targets);
        }
    });
    Evaluation result = tally.finish(collective, partition.blocks(),
                                     partition.owned_blocks(collective.rank()).begin);
    THRESHER_CHECK(result.rows > 0,
                   "none of the {} rows of pool {} has a target from 0 to {}, so a model cannot be "
                   "evaluated on it",
                   result.without_target, pool.path, model.spec().classes - 1);
    return result;
}

}  // namespace

Evaluation evaluate(const Model& model, BlockSource& source, Collective& collective) {
    const PoolInfo& pool = source.info();
    source.rewind();
    const BlockPartition partition{pool.rows, pool.block_rows, collective.size()};
    return evaluate_blocks(model, pool, collective, partition,
                           [&](Block& block) { return source.next(block); });
}

Evaluation evaluate(const Model& model, ExampleSource& source, Collective& collective) {
    const BlockPartition partition{source.size(), kBlockRows, collective.size()};
    const RowRange own = partition.owned_blocks(collective.rank());
    std::int64_t index = own.begin;
    Examples examples;
    std::vector<std::int64_t> positions;
    return evaluate_blocks(model, source.info(), collective, partition, [&](Block& block) {
        if (index == own.end) return false;
        block.rows = partition.block(index++);
        positions.resize(static_cast<std::size_t>(block.rows.size()));
        for (std::size_t i = 0; i < positions.size(); ++i) {
            positions[i] = block.rows.begin + static_cast<std::int64_t>(i);
        }
        source.fetch(positions, examples);
        block.inputs = examples.inputs;
        block.targets = examples.targets;
        block.ids = examples.ids;
        return true;
    });
}

}  // namespace thresher
