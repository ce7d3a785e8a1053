#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/scalar_tensor.h>
#include <c10/core/GradMode.h>

#include <utility>

#include "src/base/agreement.hpp"
#include "src/base/check.hpp"
#include "src/models/input_reader.hpp"
#include "src/models/tensors.hpp"
#include "src/models/token_reader.hpp"
#include "src/training/loss/batch_loss.hpp"
#include "src/training/loss/contrastive.hpp"

namespace thresher {
namespace {

/// A shard between its forward and its backward pass.
struct Shard {
    std::size_t index;
    std::int64_t rows;
    at::Tensor images, captions;  ///< [rows, d], with the graphs they came from
};

/// The values of all ranks, in rank order, of which `own` holds this rank's. Collective.
at::Tensor all_values(Collective& collective, const std::vector<at::Tensor>& own) {
    const at::Tensor host =
        own.empty() ? at::empty({0}, at::kFloat) : at::cat(own).cpu().contiguous();
    std::vector<float> values =
        collective
            .all_gather_v(std::span<const float>(host.const_data_ptr<float>(),
                                                 static_cast<std::size_t>(host.numel())))
            .values;
    return at::from_blob(values.data(), {std::ssize(values)}, at::kFloat).clone();
}

class PairLoss final : public BatchLoss {
  public:
    PairLoss(Model& model, const PoolInfo& pool, const TrainOptions& options)
        : model_(model),
          reader_(model.spec(), pool.element_type, pool.scale, model.device()),
          kind_(options.contrastive) {
        THRESHER_CHECK_AS(UsageError, options.label_smoothing == 0.0,
                          "label smoothing is {}, but captions are no labels; allowed: 0",
                          options.label_smoothing);
        THRESHER_CHECK_AS(UsageError, !options.importance_weights,
                          "importance weights were asked for, but a contrastive loss compares the "
                          "pairs of a batch and is no sum over them that weights could set right; "
                          "leave --importance-weights out");
    }

    TrainSums learn(std::size_t shard, const Examples& own, std::span<const float> weights,
                    RowRange rows, std::int64_t batch_rows) override;
    void compare(Collective& collective, std::int64_t first_row, std::int64_t batch_rows,
                 const std::function<void(std::size_t)>& bind, std::span<TrainSums> sums) override;

  private:
    Pairs gather(Collective& collective, const std::vector<Shard>& shards);

    Model& model_;
    InputReader reader_;
    ContrastiveKind kind_;
    std::vector<Shard> shards_;       ///< of the batch at hand
    std::vector<std::int64_t> rows_;  ///< of the same: image id, and whether there is a caption
};

TrainSums PairLoss::learn(std::size_t shard, const Examples& own, std::span<const float>,
                          RowRange rows, std::int64_t) {
    const c10::AutoGradMode gradients_on(true);
    const Towers& towers = *model_.spec().towers;
    const auto length = static_cast<std::size_t>(towers.token_length);
    const auto captions = [&](std::int64_t first, std::int64_t count) {
        return std::span(own.tokens)
            .subspan(static_cast<std::size_t>(first) * length,
                     static_cast<std::size_t>(count) * length);
    };
    TrainSums sums;
    for (std::int64_t row = rows.begin; row < rows.end; ++row) {
        const auto i = static_cast<std::size_t>(row);
        const bool usable = has_words(captions(row, 1));
        rows_.insert(rows_.end(), {own.image_ids[i], usable ? 1 : 0});
        ++(usable ? sums.labelled : sums.unlabelled);
        if (usable && !own.caption_of.empty() && own.caption_of[i] >= 0 &&
            own.caption_of[i] != own.image_ids[i]) {
            ++sums.noisy;
        }
    }
    const double flops_before = model_.forward_flops();
    at::Tensor image = model_.forward(reader_.read(own.inputs, rows)).embedding;
    at::Tensor text =
        model_.embed_text(read_tokens(captions(rows.begin, rows.size()), towers, model_.device()));
    shards_.push_back({shard, rows.size(), std::move(image), std::move(text)});
    // A backward pass costs two forward passes: the gradients of inputs, and those of weights.
    sums.flops = 3.0 * (model_.forward_flops() - flops_before);
    return sums;
}

Pairs PairLoss::gather(Collective& collective, const std::vector<Shard>& shards) {
    const c10::Device device(model_.device());
    const auto joined = [&](at::Tensor Shard::*part) {
        std::vector<at::Tensor> parts;
        for (const Shard& shard : shards) parts.push_back((shard.*part).detach());
        return all_values(collective, parts).view({-1, model_.embedding_size()}).to(device);
    };
    Pairs pairs;
    pairs.images = joined(&Shard::images);
    pairs.captions = joined(&Shard::captions);
    const std::vector<std::int64_t> own = std::exchange(rows_, {});
    std::vector<std::int64_t> rows =
        collective.all_gather_v(std::span<const std::int64_t>(own)).values;
    const at::Tensor table =
        at::from_blob(rows.data(), {std::ssize(rows) / 2, 2}, at::kLong).to(device).clone();
    pairs.image_ids = table.select(1, 0).contiguous();
    pairs.usable = table.select(1, 1).ne(0);
    return pairs;
}

void PairLoss::compare(Collective& collective, std::int64_t first_row, std::int64_t batch_rows,
                       const std::function<void(std::size_t)>& bind, std::span<TrainSums> sums) {
    const c10::NoGradGuard no_grad;
    const std::vector<Shard> shards = std::exchange(shards_, {});
    const Pairs pairs = gather(collective, shards);
    const PairScale now = model_.pair_scale();
    const auto scale = now.scale.item<double>(), bias = now.bias.item<double>();
    /// Calls work(shard, its products); they are made anew, so that those of one shard are there at
    /// a time.
    const auto for_each_shard = [&](const auto& work) {
        agree(collective, [&] {
            std::int64_t row = first_row;
            for (const Shard& shard : shards) {
                work(shard, multiply_pairs(pairs, {row, row + shard.rows}));
                row += shard.rows;
            }
        });
    };
    const bool softmax = kind_ == ContrastiveKind::softmax;
    at::Tensor image_sums, caption_sums;
    if (softmax) {
        std::vector<at::Tensor> of_images, of_captions;
        for_each_shard([&](const Shard&, const PairProducts& products) {
            of_images.push_back(log_sums(products.of_images, products.excluded, scale));
            of_captions.push_back(log_sums(products.of_captions, products.excluded, scale));
        });
        image_sums = all_values(collective, of_images).to(pairs.images.device());
        caption_sums = all_values(collective, of_captions).to(pairs.images.device());
    }
    for_each_shard([&](const Shard& shard, const PairProducts& products) {
        const PairGradients gradients =
            softmax ? softmax_gradients(pairs, products, image_sums, caption_sums, scale)
                    : sigmoid_gradients(pairs, products, scale, bias);
        sums[shard.index].loss = gradients.loss;
        sums[shard.index].correct = static_cast<double>(images_found(products));
        const auto rows = static_cast<double>(batch_rows);
        bind(shard.index);
        shard.images.backward(gradients.images.div(rows));
        shard.captions.backward(gradients.captions.div(rows));
        const c10::AutoGradMode gradients_on(true);
        const PairScale learned = model_.pair_scale();
        const auto learn_number = [&](const at::Tensor& number, double gradient) {
            if (number.requires_grad()) {
                number.backward(at::scalar_tensor(gradient / rows, number.options()));
            }
        };
        learn_number(learned.scale, gradients.scale);
        learn_number(learned.bias, gradients.bias);
    });
}

}  // namespace

std::unique_ptr<BatchLoss> make_pair_loss(Model& model, const PoolInfo& pool,
                                          const TrainOptions& options) {
    return std::make_unique<PairLoss>(model, pool, options);
}

}  // namespace thresher
