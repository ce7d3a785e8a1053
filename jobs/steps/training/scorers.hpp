#pragma once

// The models that score candidates beside the learner, made or read as the options say.

#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "io/pool/pool_file.hpp"
#include "jobs/options/method_options.hpp"
#include "src/models/model.hpp"
#include "src/training/trainer.hpp"

namespace thresher::jobs {

/// What a Trainer's Companions point to.
struct LoadedScorers {
    std::unique_ptr<Model> online, reference;  ///< null where there is none
    bool train_reference = false;
    std::vector<float> reference_losses;

    Companions companions() const {
        return {online.get(), reference.get(), train_reference, reference_losses};
    }
};

/// For training on `rows` of the pool (all of them where empty). Throws UsageError, FileError;
/// Error where a model or the losses do not fit the pool. Local.
LoadedScorers load_scorers(const MethodOptions& options, const io::PoolFile& pool,
                           std::span<const std::int64_t> rows, std::uint64_t seed,
                           const std::string& device);

/// What of them must not change between a run's beginning and its resumption. Local.
std::map<std::string, std::string> describe_scorers(const MethodOptions& options,
                                                    const LoadedScorers& scorers);

/// Operations that went into training the model file `path`, where the run it lies in has kept
/// them; below 0 where nothing is known. Local.
double training_flops_of(const std::string& path);

}  // namespace thresher::jobs
