#pragma once

// The options of the verb loop.

#include <map>
#include <string>
#include <vector>

#include "jobs/options/training_options.hpp"
#include "jobs/steps/choice/choice.hpp"

namespace thresher::jobs {

/// One way to choose that is compared with others: "bald", or with a selector of its own
/// "bald+power:8" (acquisition + selector : beta).
struct Method {
    std::string text;  ///< as the user wrote it; names the curves
    std::string acquisition;
    ChoiceOptions choice;
};

struct LoopOptions {
    PoolOptions pool;
    TrainingOptions training;
    ModelOptions model;
    std::string test_pool, target_pool, reference, run, oracle = "pool", labels;
    std::vector<std::string> acquisitions{"random", "entropy"};
    ChoiceOptions choice;
    std::int64_t samples = 0;
    bool consistent_masks = false;
    std::int64_t boxes_per_image = 0;  ///< 0: the default of strategy boxes
    std::int64_t agent_updates = 100;  ///< of a policy that is trained on the way, in a cycle
    std::int64_t initial = 0, k = 0, cycles = 0, repeats = 1;
    bool resume = false;

    /// As `acquisitions`. Throws UsageError on one that cannot be read.
    std::vector<Method> methods() const;
    /// Everything that a resumed run must have in common with its first part.
    std::map<std::string, std::string> settings(const TrainOptions& train,
                                                const PoolInfo& pool_info) const;
};

void add_loop_options(CLI::App& app, LoopOptions& options);

/// Throws UsageError for what can be refused before anything is read. Local.
void check_loop_options(const LoopOptions& options);

}  // namespace thresher::jobs
