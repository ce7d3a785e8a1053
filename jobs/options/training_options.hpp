#pragma once

// The options of training, shared by train and loop.

#include <map>
#include <string>
#include <vector>

#include "io/run/run_directory.hpp"
#include "jobs/job.hpp"
#include "src/models/model.hpp"
#include "src/training/train_options.hpp"

namespace thresher::jobs {

struct TrainingOptions {
    TrainOptions train;
    std::string optimizer = "sgd", schedule = "cosine", augment = "none", on_nan = "stop",
                contrastive = "softmax";
    std::int64_t cache_mib = 4096;
    double checkpoint_every_s = 60.0, max_walltime_s = 0.0;

    std::int64_t cache_bytes() const { return cache_mib * (std::int64_t{1} << 20); }

    /// The settings with the texts above read into them. Throws UsageError.
    TrainOptions settings(const CommonOptions& common) const;
};

/// How the towers of a two-tower are shaped.
struct TowerOptions {
    std::string image;
    std::int64_t text_width = 0, text_layers = -1, embedding = 0;  ///< the defaults of Towers

    bool any() const {
        return !image.empty() || text_width > 0 || text_layers >= 0 || embedding > 0;
    }
    /// Changes what was given. Throws UsageError where the model has no towers.
    void apply(ModelSpec& spec) const;
};

/// Adds --image-tower, --text-width, --text-layers and --embedding-size, with `prefix` before each.
void add_tower_options(CLI::App& app, TowerOptions& options, const std::string& prefix,
                       const std::string& group);

/// Which built-in model to train from scratch, and how it is shaped.
struct ModelOptions {
    std::string name;
    double dropout = -1.0;  ///< below 0: the model's own
    std::vector<std::int64_t> hidden;
    TowerOptions towers;
    std::string trunk;             ///< of a detector; empty: the one that suits its input
    std::int64_t class_heads = 1;  ///< of a detector, as the next
    bool loss_head = false;

    /// Throws UsageError on an unknown name or trunk, Error where the model does not suit the pool.
    ModelSpec spec(const PoolInfo& pool) const;
};

/// Adds --model, --dropout, --hidden, --trunk, --class-heads, --loss-head and the options of
/// towers.
void add_model_options(CLI::App& app, ModelOptions& options, bool required);

/// What --resume and --overwrite mean for the run directory; --resume wins.
io::RunStart run_start(bool resume, const CommonOptions& common);

/// What must not change between a run's beginning and its resumption, by name: all that describe()
/// tells but --on-nan, which gets a run past what stopped it.
std::map<std::string, std::string> lasting_settings(const TrainOptions& train);

void add_training_options(CLI::App& app, TrainingOptions& options);

}  // namespace thresher::jobs
