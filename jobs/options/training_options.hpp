#pragma once

// The options of training, shared by train and loop.

#include <string>
#include <vector>

#include "io/run_directory.hpp"
#include "jobs/job.hpp"
#include "src/models/model.hpp"
#include "src/training/train_options.hpp"

namespace thresher::jobs {

struct TrainingOptions {
    TrainOptions train;
    std::string optimizer = "sgd", schedule = "cosine", augment = "none", on_nan = "stop";
    std::int64_t cache_mib = 4096;
    double checkpoint_every_s = 60.0, max_walltime_s = 0.0;

    std::int64_t cache_bytes() const { return cache_mib * (std::int64_t{1} << 20); }

    /// The settings with the texts above read into them. Throws UsageError.
    TrainOptions settings(const CommonOptions& common) const;
};

/// Which built-in model to train from scratch, and how it is shaped.
struct ModelOptions {
    std::string name;
    double dropout = -1.0;  ///< below 0: the model's own
    std::vector<std::int64_t> hidden;

    /// Throws UsageError on an unknown name, Error where the model does not suit the pool.
    ModelSpec spec(const PoolInfo& pool) const;
};

/// Adds --model, --dropout and --hidden.
void add_model_options(CLI::App& app, ModelOptions& options, bool required);

/// What --resume and --overwrite mean for the run directory; --resume wins.
io::RunStart run_start(bool resume, const CommonOptions& common);

void add_training_options(CLI::App& app, TrainingOptions& options);

}  // namespace thresher::jobs
