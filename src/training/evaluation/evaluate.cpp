#include "src/training/evaluation/evaluate.hpp"

#include <ATen/ops/from_blob.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <span>

#include "src/acquisition/outputs.hpp"
#include "src/base/agreement.hpp"
#include "src/base/check.hpp"
#include "src/base/tree_sum.hpp"
#include "src/models/tensors.hpp"
#include "src/models/token_reader.hpp"
#include "src/pool/example_blocks.hpp"
#include "src/strategy/model_runner.hpp"
#include "src/strategy/predictor.hpp"

namespace thresher {
namespace {

constexpr std::size_t kBins = 15;

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
    std::int64_t& bin_correct(std::size_t bin) { return counts_[2 + bin]; }
    std::int64_t& support(std::size_t c) { return counts_[2 + kBins + c]; }
    std::int64_t& predicted(std::size_t c) { return counts_[2 + kBins + classes_ + c]; }
    std::int64_t& correct(std::size_t c) { return counts_[2 + kBins + 2 * classes_ + c]; }

    std::size_t classes_;
    std::vector<std::int64_t> counts_;
    std::vector<double> sums_;  ///< [own blocks, kSums]
};

/// Log-probabilities [rows, classes] of a block; valid until the next call.
using Classifier = std::function<std::span<const float>(const Block&)>;

/// Adds up over the ranks what came of their blocks, with the classifier that `make` makes.
Evaluation evaluate_blocks(std::int64_t classes, BlockSource& source, Collective& collective,
                           const std::function<Classifier()>& make) {
    const PoolInfo& pool = source.info();
    const BlockPartition partition{pool.rows, pool.block_rows, collective.size()};
    source.rewind();
    Tally tally(classes);
    agree(collective, [&] {
        THRESHER_CHECK(
            pool.has_targets,
            "pool {} has no targets, so a model cannot be evaluated on it; use a labelled "
            "pool",
            pool.path);
        const Classifier classify = make();
        Block block;
        while (source.next(block)) {
            give_up_if_others_failed(collective);
            tally.add_block(classify(block), block.targets);
        }
    });
    Evaluation result = tally.finish(collective, partition.blocks(),
                                     partition.owned_blocks(collective.rank()).begin);
    THRESHER_CHECK(result.rows > 0,
                   "none of the {} rows of pool {} has a target from 0 to {}, so a model cannot be "
                   "evaluated on it",
                   result.without_target, pool.path, classes - 1);
    return result;
}

}  // namespace

Evaluation evaluate(const Model& model, BlockSource& source, Collective& collective) {
    return evaluate_blocks(model.spec().classes, source, collective, [&]() -> Classifier {
        const auto predictor = std::make_shared<Predictor>(ModelRoles{&model, nullptr},
                                                           source.info(), PredictorOptions{});
        const auto predictions = std::make_shared<Predictions>();
        return [=](const Block& block) -> std::span<const float> {
            predictor->predict(block, *predictions);
            return predictions->log_probs;
        };
    });
}

Evaluation evaluate(const Model& model, ExampleSource& source, Collective& collective) {
    return evaluate(model, *blocks_of_examples(source, collective.rank(), collective.size()),
                    collective);
}

Evaluation evaluate_zero_shot(const Model& model, std::span<const std::int32_t> prompts,
                              BlockSource& source, Collective& collective) {
    THRESHER_CHECK_AS(UsageError, model.spec().towers.has_value(),
                      "{} reads no captions, so it cannot name classes it has not learned; use a "
                      "two-tower",
                      model.spec().name);
    const std::int64_t classes = std::ssize(prompts) / model.spec().towers->token_length;
    return evaluate_blocks(classes, source, collective, [&]() -> Classifier {
        const c10::InferenceMode inference;
        const auto runner = std::make_shared<ModelRunner>(model, source.info(), 0);
        Model& scoring = runner->model();
        const at::Tensor names =
            scoring.embed_text(read_tokens(prompts, *scoring.spec().towers, scoring.device()));
        const at::Tensor weight = names.mul(scoring.pair_scale().scale).cpu().t().contiguous();
        const auto images = std::make_shared<std::vector<float>>();
        const auto log_probs = std::make_shared<std::vector<float>>();
        return [=](const Block& block) -> std::span<const float> {
            const c10::InferenceMode computing;
            const std::int64_t rows = block.rows.size(), size = weight.size(0);
            images->resize(static_cast<std::size_t>(rows * size));
            log_probs->resize(static_cast<std::size_t>(rows * classes));
            ModelResults results;
            results.embeddings = *images;
            runner->run(block, {}, results);
            const at::Tensor logits =
                at::from_blob(images->data(), {rows, size}, at::kFloat).matmul(weight);
            logits_to_log_probs({logits.const_data_ptr<float>(), log_probs->size()}, classes,
                                *log_probs);
            return *log_probs;
        };
    });
}

}  // namespace thresher
