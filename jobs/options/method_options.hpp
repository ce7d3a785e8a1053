#pragma once

// The options of prioritised training: how the rows of an update are chosen, and by which models.

#include <string>
#include <vector>

#include "jobs/job.hpp"
#include "jobs/options/training_options.hpp"
#include "src/training/prioritised/method.hpp"
#include "src/training/train_options.hpp"

namespace thresher::jobs {

struct MethodOptions {
    std::string method = "uniform", online, reference, reference_losses;
    std::vector<std::int64_t> online_hidden;
    TowerOptions online_towers;
    double filter_ratio = 0.0, temperature = 1.0;
    std::int64_t chunks = 16;
    bool importance_weights = false;
    double score_clip = 0.0, scoring_resolution = 1.0;
    std::string scoring_dtype = "float32";

    const Method& chosen() const { return find_method(method); }
    /// "--online learner": the learner scores itself.
    bool learner_scores() const { return chosen().learner_scores || online == "learner"; }
    /// Whether --online says what is made: a new model, or one to go on from.
    bool names_online() const { return !online.empty() && online != "learner"; }
    /// "--reference online": the reference is trained beside the learner.
    bool trains_reference() const { return reference == "online"; }
    void set(TrainOptions& train) const;
};

void add_method_options(CLI::App& app, MethodOptions& options);

/// Throws UsageError where the method lacks a model or was given two of one role; warns of options
/// that it does not read. Local.
void check_method(const MethodOptions& options);

}  // namespace thresher::jobs
