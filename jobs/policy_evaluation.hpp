#pragma once

// thresher policy evaluate.

#include "jobs/job.hpp"

namespace thresher::jobs {

/// The action, from its options on. Collective.
int evaluate_policy(Job& job);

}  // namespace thresher::jobs
