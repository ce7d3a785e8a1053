#pragma once

// thresher env run: who chooses better batches, cycle after cycle.

#include <cstdint>
#include <string>
#include <vector>

#include "jobs/job.hpp"
#include "jobs/options/environment_options.hpp"

namespace thresher::jobs {

struct EnvOptions {
    std::string action, output, policy, metric, reward = "delta";
    std::vector<std::string> choosers{"random", "entropy", "margin", "k-center", "badge", "oracle"};
    std::vector<std::int64_t> batches{1, 5, 10, 20};
    std::int64_t budget = 40, seeds = 3, batch = 10, samples = 200;
    double threshold = 0.0;
    EnvironmentChoice choice;
};

/// The action, from its options on. Collective.
int play_games(Job& job, const EnvOptions& options);

}  // namespace thresher::jobs
