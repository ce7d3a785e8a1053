#pragma once

// Everything that decides how a model is trained. Every setting is printed once, as a table.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "src/training/shard_plan.hpp"

namespace thresher {

enum class OptimizerKind { sgd, adamw };
enum class ScheduleKind { constant, cosine };
enum class AugmentKind { none, crop_flip, boxes };
enum class ContrastiveKind { softmax, sigmoid };

/// How candidates are scored, which may cost less than training does.
struct ScoringForm {
    double resolution = 1.0;  ///< the sides of images are scaled by it
    bool bf16 = false;        ///< convolutions and products are computed in bfloat16
    double clip = 0.0;        ///< scores are limited to [-clip, clip]; 0: they are not
};

struct TrainOptions {
    std::int64_t epochs = 10;
    std::int64_t updates = 0;  ///< if not 0, train this many updates instead of `epochs`
    std::int64_t batch_size =
        128;  ///< rows an update, over all ranks; an epoch's last two may be smaller
    std::int64_t accumulate = 1;  ///< forward/backward pieces a rank cuts its part of a batch into

    OptimizerKind optimizer = OptimizerKind::sgd;
    double learning_rate = 0.05;
    double momentum = 0.9;                              ///< sgd, Nesterov
    double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;  ///< adamw
    double weight_decay = 5e-4;  ///< of matrices and kernels; biases and norms are not decayed
    double warmup_epochs = 0.0;  ///< linear from 0
    ScheduleKind schedule = ScheduleKind::cosine;
    double label_smoothing = 0.0;
    AugmentKind augment = AugmentKind::none;
    ContrastiveKind contrastive = ContrastiveKind::softmax;  ///< loss of a model of image and text

    std::string method = "uniform";  ///< how the rows of an update are chosen: see methods()
    double filter_ratio = 0.0;  ///< rho: candidates for each row trained on; 0 = the method's own
    double temperature = 1.0;   ///< rows are drawn in proportion to softmax(score / temperature)
    std::int64_t chunks = 16;   ///< jest: draws that make up a batch, each given those before
    /// Weigh drawn rows so that their loss is on average that of all candidates; of classes alone.
    bool importance_weights = false;
    ScoringForm scoring;
    bool skip_nan = false;  ///< leave out an update whose loss or gradient is not finite

    std::int64_t evaluate_every = 0;  ///< updates between evaluations; 0 = an epoch
    std::int64_t patience =
        0;  ///< evaluations without a lower validation loss before training ends; 0 = never
    std::uint64_t seed = 0;

    bool reproducible = false;  ///< same bits for any rank count
    std::int64_t logical_shards =
        8;  ///< pieces of a batch under `reproducible`; at most batch_size
    std::int64_t window_blocks = 32;  ///< blocks whose rows are shuffled together in an epoch
};

/// From an option's text; throw UsageError naming the allowed ones.
OptimizerKind optimizer_kind(const std::string& name);      ///< sgd, adamw
ScheduleKind schedule_kind(const std::string& name);        ///< constant, cosine
AugmentKind augment_kind(const std::string& name);          ///< none, crop-flip, boxes
ContrastiveKind contrastive_kind(const std::string& name);  ///< softmax, sigmoid

/// Throws UsageError naming every option that is out of range, or an unknown method.
void check_options(const TrainOptions& options);

/// Candidates an update, of which it keeps `batch_rows`: batch_rows rho, rounded.
std::int64_t super_batch_size(const TrainOptions& options, std::int64_t batch_rows);

/// How a batch of at most `batch_size` rows is cut and dealt out over the ranks.
ShardPlan shard_plan(const TrainOptions& options, std::int64_t batch_size, int ranks);

/// Option name -> value, for the table printed at the start and for provenance.
std::vector<std::pair<std::string, std::string>> describe(const TrainOptions& options);

/// The learning rate of update `step` (counted from 0) of `total` when an epoch has
/// `steps_per_epoch`: rises linearly over the warm-up, then stays, or falls as learning_rate * (1 +
/// cos(pi * (step - warmup) / (total - warmup))) / 2.
double learning_rate_at(const TrainOptions& options, std::int64_t step, std::int64_t total,
                        std::int64_t steps_per_epoch);

}  // namespace thresher
