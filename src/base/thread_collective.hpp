#pragma once

// p simulated ranks as threads of one process: the algorithms that run over MPI can be tested, and
// debugged, without it.

#include <functional>
#include <vector>

#include "src/base/collective.hpp"

namespace thresher {

/// Runs `body` once per rank, each in its own thread with its own Collective, and waits for all. If
/// a rank throws, the others are released from whatever collective they wait in, and the first
/// error is rethrown here.
void run_simulated_ranks(int ranks, const std::function<void(Collective&)>& body);

/// The same for ranks in groups of these sizes, the first ranks in the first: each has a Collective
/// of all ranks and one of its group.
void run_simulated_groups(const std::vector<int>& sizes,
                          const std::function<void(Collective& all, Collective& group)>& body);

}  // namespace thresher
