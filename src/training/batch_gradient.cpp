#include "src/training/batch_gradient.hpp"

#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

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

std::unique_ptr<BatchLoss> make_loss(Model& model, const PoolInfo& pool,
                                     const TrainOptions& options) {
    if (model.spec().towers) return make_pair_loss(model, pool, options);
    if (model.spec().detector) return make_detection_loss(model, pool, options);
    return make_class_loss(model, pool, options);
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
      loss_(make_loss(model, pool, options)),
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
    if (!reproducible_ && collective.size() > 1 && !model.spec().towers &&
        (gradient_.is_cpu() || collective.reads_device_memory())) {
        buckets_.emplace(parameters_, gradient_, collective);
    }
    broadcast(collective, parameters_.values());
    broadcast(collective, statistics_.values());
    for (const NamedTensor& counter : counters_) broadcast(collective, counter.tensor);
}

BatchGradient::~BatchGradient() { parameters_.bind_gradients(at::Tensor()); }

TrainSums BatchGradient::compute(const Examples& own, std::span<const float> weights,
                                 std::int64_t batch_rows, std::int64_t step, Phases& phases) {
    std::vector<TrainSums> sums;
    {
        std::optional<Phases::Timer> timer(std::in_place, phases, "compute");
        agree(collective_, [&] {
            const auto finish_sums = [&] {
                if (!buckets_) return;
                timer.emplace(phases, "reduce");
                buckets_->finish();
            };
            try {
                sums = learn_own_shards(own, weights, batch_rows, step);
            } catch (...) {
                finish_sums();  // the others are in them, and are told of the failure afterwards
                throw;
            }
            finish_sums();
        });
        loss_->compare(
            collective_, plan_.rank_rows(batch_rows, collective_.rank()).begin, batch_rows,
            [&](std::size_t shard) { bind_shard(shard); }, sums);
    }
    const auto timer = phases.time("reduce");
    const c10::NoGradGuard no_grad;
    if (!buckets_) reduce(shard_gradients_, gradient_);
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

std::vector<TrainSums> BatchGradient::learn_own_shards(const Examples& own,
                                                       std::span<const float> weights,
                                                       std::int64_t batch_rows, std::int64_t step) {
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
        bind_shard(static_cast<std::size_t>(index));
        statistics_.values().copy_(statistics_before);
        for (std::size_t i = 0; i < counters_.size(); ++i) {
            counters_[i].tensor.copy_(counters_before[i]);
        }
        model_.seed_dropout(random.bits(shard));
        if (buckets_ && shard + 1 == end_shard_) buckets_->expect_last();
        sums.push_back(loss_->learn(static_cast<std::size_t>(index), own, weights,
                                    {rows.begin - first_row, rows.end - first_row}, batch_rows));
        shard_statistics_[index].copy_(statistics_.values());
    }
    return sums;
}

void BatchGradient::bind_shard(std::size_t shard) {
    parameters_.bind_gradients(
        shard_gradients_[reproducible_ ? static_cast<std::int64_t>(shard) : 0]);
}

/// Sums rows over all ranks: in the fixed tree, or as the ranks' own sums happen to be added.
void BatchGradient::reduce(const at::Tensor& own, const at::Tensor& total) {
    if (total.numel() == 0) return;
    const bool in_place = total.is_cpu() || (!reproducible_ && collective_.reads_device_memory());
    const at::Tensor total_host = in_place ? total : at::empty_like(total, at::kCPU);
    if (reproducible_) {
        const at::Tensor own_host = own.cpu();
        tree_all_reduce<float>(collective_, plan_.shards, first_shard_, span_of(own_host),
                               span_of(total_host));
    } else {
        // The gradients of a rank's shards were added up where `total` lies.
        if (own.const_data_ptr() != total_host.const_data_ptr()) total_host.copy_(own.sum(0));
        if (collective_.size() > 1) collective_.all_reduce_sum(span_of(total_host));
    }
    if (!in_place) total.copy_(total_host);
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
