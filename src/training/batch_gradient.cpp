#include "src/training/batch_gradient.hpp"

#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <utility>

#include "src/base/agreement.hpp"
#include "src/base/tree_sum.hpp"
#include "src/models/tensors.hpp"
#include "src/random/philox.hpp"

namespace thresher {
namespace {

constexpr std::size_t kSums = sizeof(TrainSums) / sizeof(double);

std::span<float> span_of(const at::Tensor& tensor) {
    return {tensor.mutable_data_ptr<float>(), static_cast<std::size_t>(tensor.numel())};
}

std::vector<NamedTensor> pick(const std::vector<NamedTensor>& tensors, bool floating) {
    std::vector<NamedTensor> result;
    for (const NamedTensor& entry : tensors) {
        if ((entry.tensor.scalar_type() == at::kFloat) == floating) result.push_back(entry);
    }
    return result;
}

/// Copies the bytes of a rank to all. Collective.
void broadcast(Collective& collective, const at::Tensor& tensor, int root = 0) {
    const c10::NoGradGuard no_grad;
    const at::Tensor host = tensor.cpu().contiguous();
    collective.broadcast(
        std::span<std::byte>(static_cast<std::byte*>(host.mutable_data_ptr()), host.nbytes()),
        root);
    tensor.copy_(host);
}

}  // namespace

BatchGradient::BatchGradient(Model& model, const PoolInfo& pool, const TrainOptions& options,
                             std::int64_t batch_size, Collective& collective)
    : model_(model),
      collective_(collective),
      reader_(model.spec(), pool.element_type, pool.scale, model.device()),
      label_smoothing_(options.label_smoothing),
      seed_(options.seed),
      reproducible_(options.reproducible),
      plan_(shard_plan(options, batch_size, collective.size())),
      first_shard_(plan_.first_shard(collective.rank())),
      end_shard_(plan_.first_shard(collective.rank() + 1)),
      parameters_(trainable(model.parameters())),
      statistics_(pick(model.buffers(), true)),
      counters_(pick(model.buffers(), false)) {
    const auto options_of = parameters_.values().options();
    const std::int64_t own = end_shard_ - first_shard_;
    gradient_ = at::zeros({parameters_.size()}, options_of);
    shard_gradients_ =
        reproducible_ ? at::zeros({own, parameters_.size()}, options_of) : gradient_.unsqueeze(0);
    shard_statistics_ = at::zeros({own, statistics_.size()}, options_of);
    broadcast(collective, parameters_.values());
    broadcast(collective, statistics_.values());
    for (const NamedTensor& counter : counters_) broadcast(collective, counter.tensor);
}

BatchGradient::~BatchGradient() { parameters_.bind_gradients(at::Tensor()); }

TrainSums BatchGradient::compute(const Examples& own, std::int64_t batch_rows, std::int64_t step,
                                 Phases& phases) {
    std::vector<TrainSums> sums;
    {
        const auto timer = phases.time("compute");
        agree(collective_, [&] { sums = learn_own_shards(own, batch_rows, step); });
    }
    const auto timer = phases.time("reduce");
    const c10::NoGradGuard no_grad;
    reduce(shard_gradients_, gradient_);
    reduce_statistics(batch_rows);
    TrainSums total;
    tree_all_reduce<double>(
        collective_, plan_.shards, first_shard_,
        std::span<const double>(reinterpret_cast<const double*>(sums.data()), sums.size() * kSums),
        std::span<double>(reinterpret_cast<double*>(&total), kSums));
    // Each rank divided by all rows; how many have a label is known only now.
    const auto rows = static_cast<double>(batch_rows);
    if (total.labelled > 0.0 && total.labelled < rows) gradient_.mul_(rows / total.labelled);
    return total;
}

std::vector<TrainSums> BatchGradient::learn_own_shards(const Examples& own, std::int64_t batch_rows,
                                                       std::int64_t step) {
    const c10::NoGradGuard no_grad;
    const at::Tensor statistics_before = statistics_.values().clone();
    std::vector<at::Tensor> counters_before;
    for (const NamedTensor& counter : counters_) counters_before.push_back(counter.tensor.clone());
    shard_gradients_.zero_();
    shard_statistics_.zero_();
    const KeyedRandom random(seed_, Stream::dropout, static_cast<std::uint32_t>(step));
    const std::int64_t first_row = plan_.rank_rows(batch_rows, collective_.rank()).begin;
    std::vector<TrainSums> sums;
    for (std::int64_t shard = first_shard_; shard < end_shard_; ++shard) {
        const std::int64_t index = shard - first_shard_;
        const RowRange rows = plan_.shard_rows(batch_rows, shard);
        if (rows.size() == 0) {
            sums.emplace_back();
            continue;
        }
        parameters_.bind_gradients(shard_gradients_[reproducible_ ? index : 0]);
        statistics_.values().copy_(statistics_before);
        for (std::size_t i = 0; i < counters_.size(); ++i) {
            counters_[i].tensor.copy_(counters_before[i]);
        }
        model_.seed_dropout(random.bits(shard));
        sums.push_back(learn(own, {rows.begin - first_row, rows.end - first_row}, batch_rows));
        shard_statistics_[index].copy_(statistics_.values());
    }
    return sums;
}

/// Forward and backward of some of the rank's rows; adds to the bound gradients.
TrainSums BatchGradient::learn(const Examples& own, RowRange rows, std::int64_t batch_rows) {
    const c10::AutoGradMode gradients_on(true);
    TrainSums sums;
    const std::int64_t classes = model_.spec().classes;
    std::vector<std::int64_t> targets(own.targets.begin() + rows.begin,
                                      own.targets.begin() + rows.end);
    for (std::int64_t& target : targets) {
        if (target >= 0 && target < classes) continue;
        target = -1;
        ++sums.unlabelled;
    }
    sums.labelled = static_cast<double>(rows.size()) - sums.unlabelled;
    if (!own.clean_targets.empty()) {
        for (std::int64_t row = 0; row < rows.size(); ++row) {
            const std::int64_t truth =
                own.clean_targets[static_cast<std::size_t>(rows.begin + row)];
            const std::int64_t target = targets[static_cast<std::size_t>(row)];
            if (truth >= 0 && target >= 0 && truth != target) ++sums.noisy;
        }
    }
    const double flops_before = model_.forward_flops();
    const auto row_bytes = static_cast<std::size_t>(reader_.bytes_per_row());
    const at::Tensor inputs =
        reader_.read(std::span<const std::byte>(own.inputs)
                         .subspan(static_cast<std::size_t>(rows.begin) * row_bytes,
                                  static_cast<std::size_t>(rows.size()) * row_bytes));
    const at::Tensor target =
        at::from_blob(targets.data(), {rows.size()}, at::TensorOptions(at::kLong))
            .to(inputs.device());
    const at::Tensor logits = model_.forward(inputs).logits;
    const at::Tensor loss =
        at::cross_entropy_loss(logits, target, {}, at::Reduction::Sum, -1, label_smoothing_);
    loss.div(static_cast<double>(batch_rows)).backward();
    sums.loss = loss.item<double>();
    sums.correct =
        static_cast<double>(logits.detach().argmax(1).eq(target).sum().item<std::int64_t>());
    // A backward pass costs two forward passes: the gradients of inputs, and those of weights.
    sums.flops = 3.0 * (model_.forward_flops() - flops_before);
    return sums;
}

/// Sums rows over all ranks: in the fixed tree, or as the ranks' own sums happen to be added.
void BatchGradient::reduce(const at::Tensor& own, const at::Tensor& total) {
    if (total.numel() == 0) return;
    const at::Tensor total_host = total.is_cpu() ? total : at::empty_like(total, at::kCPU);
    if (reproducible_) {
        const at::Tensor own_host = own.cpu();
        tree_all_reduce<float>(collective_, plan_.shards, first_shard_, span_of(own_host),
                               span_of(total_host));
    } else {
        // The gradients of a rank's shards were added up where `total` lies.
        if (own.const_data_ptr() != total_host.const_data_ptr()) total_host.copy_(own.sum(0));
        if (collective_.size() > 1) collective_.all_reduce_sum(span_of(total_host));
    }
    if (!total.is_cpu()) total.copy_(total_host);
}

void BatchGradient::reduce_statistics(std::int64_t batch_rows) {
    reduce(shard_statistics_, statistics_.values());
    std::int64_t active = 0, first_active = plan_.shards;
    for (std::int64_t shard = plan_.shards - 1; shard >= 0; --shard) {
        if (plan_.shard_rows(batch_rows, shard).size() == 0) continue;
        ++active;
        first_active = shard;
    }
    statistics_.values().div_(static_cast<double>(active));
    // Every shard that had rows has counted the same; a rank may have had none.
    int rank = 0;
    while (plan_.first_shard(rank + 1) <= first_active) ++rank;
    for (const NamedTensor& counter : counters_) broadcast(collective_, counter.tensor, rank);
}

}  // namespace thresher
