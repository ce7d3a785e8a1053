#pragma once

// Training in which some ranks of the job train and others score.

#include <functional>
#include <map>
#include <string>

#include "jobs/job.hpp"
#include "src/training/actors/topology.hpp"

namespace thresher::jobs {

/// Lets the learners of the job run `learn` and the actors `act`, which may talk through `messages`
/// and, learners among learners, through a collective of their own. Where a rank throws, all end
/// with its error; where the learners throw Requeue, the actors end well first. Collective.
void run_in_roles(Job& job, const Topology& topology, Messages& messages,
                  const std::function<void()>& learn, const std::function<void()>& act);

/// learners/<computed, waited, communicated>: what the phases of a trainer with actors come to,
/// summed over the learners. Collective over them.
std::map<std::string, double> seconds_of_learners(Collective& learners, const Phases& phases);

/// The shares of time that the roles computed, waited and communicated, as log lines; `costs` has
/// their seconds. Local.
void log_roles(const std::map<std::string, double>& costs);

}  // namespace thresher::jobs
