#pragma once

// The gradient of one batch, computed by all ranks together. The batch is cut into shards; a rank
// works through its own consecutive ones, one after the other. Under `reproducible` the number of
// shards is fixed and their gradients are added in one fixed tree, so the sum has the same bits for
// any number of ranks.

#include <ATen/core/Tensor.h>

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "src/base/collective.hpp"
#include "src/base/phases.hpp"
#include "src/models/model.hpp"
#include "src/pool/example_source.hpp"
#include "src/training/flat_tensors.hpp"
#include "src/training/gradient_buckets.hpp"
#include "src/training/loss/batch_loss.hpp"
#include "src/training/shard_plan.hpp"
#include "src/training/train_options.hpp"

namespace thresher {

class BatchGradient {
  public:
    /// Moves the model's tensors into flat buffers and copies those of rank 0 to all. Collective.
    BatchGradient(Model& model, const PoolInfo& pool, const TrainOptions& options,
                  std::int64_t batch_size, Collective& collective);
    ~BatchGradient();
    BatchGradient(const BatchGradient&) = delete;
    BatchGradient& operator=(const BatchGradient&) = delete;

    /// Fills gradient() with that of the mean loss over the usable rows of the batch, of which
    /// `own` holds this rank's rows as shard_plan() deals them out, and averages the running
    /// statistics that the shards leave behind. Rows without a usable target, or without a caption
    /// where pairs are learned, count in no sum. `weights` [own rows] multiply the losses; empty: 1
    /// each. Dropout is keyed by (seed, step, shard). Collective.
    TrainSums compute(const Examples& own, std::span<const float> weights, std::int64_t batch_rows,
                      std::int64_t step, Phases& phases);

    const FlatTensors& parameters() const { return parameters_; }
    const FlatTensors& statistics() const { return statistics_; }
    /// Buffers of integers, such as num_batches_tracked of a TorchScript model.
    const std::vector<NamedTensor>& counters() const { return counters_; }
    const at::Tensor& gradient() const { return gradient_; }  ///< [parameters().size()]

  private:
    std::vector<TrainSums> learn_own_shards(const Examples& own, std::span<const float> weights,
                                            std::int64_t batch_rows, std::int64_t step);
    /// Makes backward add to the gradient of an own shard, counted from 0.
    void bind_shard(std::size_t shard);
    void reduce(const at::Tensor& own, const at::Tensor& total);
    void reduce_statistics(std::int64_t batch_rows);

    Model& model_;
    Collective& collective_;
    std::unique_ptr<BatchLoss> loss_;
    std::uint64_t seed_;
    bool reproducible_;
    ShardPlan plan_;
    std::int64_t first_shard_, end_shard_;  ///< own
    FlatTensors parameters_, statistics_;
    std::vector<NamedTensor> counters_;
    at::Tensor gradient_;
    /// Of losses that learn() goes backward through, where it does not matter who is added first.
    std::optional<GradientBuckets> buckets_;
    at::Tensor
        shard_gradients_;  ///< [own shards, parameters], or [1, parameters] where they add up
    at::Tensor shard_statistics_;  ///< [own shards, statistics], as each shard left them
};

}  // namespace thresher
