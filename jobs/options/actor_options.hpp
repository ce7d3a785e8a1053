#pragma once

// The options of training in which some ranks score and others train.

#include <string>

#include "jobs/job.hpp"
#include "src/training/actors/topology.hpp"

namespace thresher::jobs {

struct ActorOptions {
    Topology topology;
    std::string actor_device, learner_device;  ///< empty: --device

    /// Who does what among the ranks of the job. Throws UsageError.
    Topology chosen(const TrainOptions& train, int ranks) const;

    /// The device that was asked for a rank of this role. Empty: --device.
    const std::string& device_of(const Topology& chosen, int rank) const {
        return chosen.is_learner(rank) ? learner_device : actor_device;
    }
};

void add_actor_options(CLI::App& app, ActorOptions& options);

}  // namespace thresher::jobs
