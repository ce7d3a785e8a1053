#pragma once

// thresher policy train.

#include "jobs/job.hpp"

namespace thresher::jobs {

/// The action, from its options on. Collective.
int train_policy(Job& job);

}  // namespace thresher::jobs
