#pragma once

// What a model learns of the rows of a batch: classes or boxes, of each row by itself, or pairs of
// image and caption, which are told apart from those of the whole batch.

#include <functional>
#include <memory>
#include <span>

#include "src/base/collective.hpp"
#include "src/models/model.hpp"
#include "src/pool/example_source.hpp"
#include "src/training/train_options.hpp"

namespace thresher {

/// What a shard, a batch or an epoch has brought and cost: sums over rows. Doubles throughout, so
/// that they are reduced as one vector.
struct TrainSums {
    double loss = 0.0, correct = 0.0, labelled = 0.0, unlabelled = 0.0;
    double noisy = 0.0;  ///< rows whose target, or caption, is known not to be the truth
    double flops = 0.0;  ///< forward and backward
};

class BatchLoss {
  public:
    virtual ~BatchLoss() = default;

    /// Forward of the rows of `own` that make up a shard of a batch of `batch_rows`; backward too,
    /// where a row's loss is its own, and then multiplied by its one of `weights` [own rows] unless
    /// there are none. `shard` counts the rank's own from 0. Local.
    virtual TrainSums learn(std::size_t shard, const Examples& own, std::span<const float> weights,
                            RowRange rows, std::int64_t batch_rows) = 0;

    /// The rest of a loss that compares the rows of all shards, the own ones from `first_row` of
    /// the batch on: completes the sums of the own shards, and goes backward through each after
    /// bind(shard), which says where its gradients go. Collective.
    virtual void compare(Collective& /*collective*/, std::int64_t /*first_row*/,
                         std::int64_t /*batch_rows*/,
                         const std::function<void(std::size_t)>& /*bind*/,
                         std::span<TrainSums> /*sums*/) {}
};

/// Throws Error unless the pool has what such a model is trained and judged by: targets, captions
/// or boxes.
void check_teaches(const PoolInfo& pool, const ModelSpec& model);

/// Cross-entropy, with label smoothing. `model` must outlive the loss, here and below.
std::unique_ptr<BatchLoss> make_class_loss(Model& model, const PoolInfo& pool,
                                           const TrainOptions& options);

/// Softmax or sigmoid over all pairs of a batch (src/training/loss/contrastive.hpp), for a model
/// that reads captions. The activations of all own shards are kept until compare(). Throws
/// UsageError where labels are to be smoothed or rows weighed.
std::unique_ptr<BatchLoss> make_pair_loss(Model& model, const PoolInfo& pool,
                                          const TrainOptions& options);

/// The loss of images with boxes (src/training/loss/detection_loss.hpp), for a detector. Throws
/// UsageError where labels are to be smoothed.
std::unique_ptr<BatchLoss> make_detection_loss(Model& model, const PoolInfo& pool,
                                               const TrainOptions& options);

}  // namespace thresher
