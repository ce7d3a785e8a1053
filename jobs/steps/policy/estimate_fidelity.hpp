#pragma once

// What a table's estimates are worth in the end: held against retraining, over random batches and
// over those of the policy that learned from them.

#include <map>
#include <string>

#include "io/run/run_directory.hpp"
#include "jobs/steps/policy/policy_grounds.hpp"
#include "src/policy/network/policy.hpp"

namespace thresher::jobs {

/// Adds 200 batches of each kind in an environment that has a table to the curves
/// fidelity/<random, policy>_<predicted, retrained>, [E, 200]. The head's batches must have exactly
/// `picks`. Collective.
void compare_estimates(const Ground& ground, const Policy& policy, std::int64_t picks,
                       io::RunRecord& record);

/// The rank correlation of each kind that the curves hold, the mean over environments.
std::map<std::string, double> rank_correlations(const io::RunRecord& record);

/// The same in words.
std::string described(const std::map<std::string, double>& correlations);

}  // namespace thresher::jobs
