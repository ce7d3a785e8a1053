#pragma once

// The candidates of environments as a run's file shows them, so that what was picked of them can be
// looked at.

#include "io/run/run_directory.hpp"
#include "jobs/options/environment_options.hpp"

namespace thresher::jobs {

/// Adds one environment to /curves/candidates/: features [E, N, d], target and id [E, N]. All have
/// as many candidates. Local.
void add_candidates(const OpenEnvironment& open, io::RunRecord& record);

}  // namespace thresher::jobs
