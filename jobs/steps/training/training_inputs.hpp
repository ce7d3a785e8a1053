#pragma once

// What thresher train trains, and on what: from options to a model, examples and scorers in memory.

#include <map>
#include <memory>
#include <string>

#include "io/pool/pool_file.hpp"
#include "jobs/options/method_options.hpp"
#include "jobs/options/pool_options.hpp"
#include "jobs/options/training_options.hpp"
#include "jobs/steps/training/scorers.hpp"
#include "src/models/model.hpp"
#include "src/pool/example_source.hpp"

namespace thresher::jobs {

struct TrainingChoice {
    PoolOptions pool;
    TrainingOptions training;
    MethodOptions method;
    ModelOptions model;
    std::string rows, labels, validation, init, anchors = "default";
};

/// Whether the learner learns from targets, not from captions or boxes. Throws FileError. Local.
bool learns_targets(const TrainingChoice& choice);

/// Quarantines rows whose target is out of range, and refuses a pool without a single target.
/// Throws FileError. Collective.
void check_targets(Job& job, const io::PoolFile& pool, const std::string& path);

/// What a choice names, in memory.
struct TrainingInputs {
    std::unique_ptr<Model> model;
    std::unique_ptr<ExampleSource> examples, validation;
    LoadedScorers scorers;
    std::map<std::string, std::string> settings;
    std::map<std::string, double> flops_before;  ///< of models that were trained earlier
};

/// For `device`; `trainers` are the ranks that train. Throws UsageError, FileError, Error. Local.
TrainingInputs load_inputs(Job& job, const TrainingChoice& choice, const TrainOptions& train,
                           const io::PoolFile& pool, const std::string& device,
                           const Collective& trainers);

}  // namespace thresher::jobs
