#pragma once

// What a table's estimates are worth in the end: held against retraining, over random batches and
// over those of the policy that learned from them.

#include <map>
#include <span>
#include <string>

#include "io/run_directory.hpp"
#include "jobs/steps/policy_grounds.hpp"
#include "src/policy/network/policy.hpp"

namespace thresher::jobs {

/// Adds 200 batches of each kind in each environment [E] that has a table to the curves
/// fidelity/<random, policy>_<predicted, retrained>, [E, 200]. Returns the rank correlation for
/// each kind, the mean over environments. The head's batches must have exactly `picks`. Collective.
std::map<std::string, double> compare_estimates(std::span<const Ground> grounds,
                                                const Policy& policy, std::int64_t picks,
                                                io::RunRecord& record);

}  // namespace thresher::jobs
