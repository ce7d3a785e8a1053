#pragma once

// p simulated ranks as threads of one process: the algorithms that run over MPI can be tested, and
// debugged, without it.

#include <functional>

#include "src/base/collective.hpp"

namespace thresher {

/// Runs `body` once per rank, each in its own thread with its own Collective, and waits for all. If
/// a rank throws, the others are released from whatever collective they wait in, and the first
/// error is rethrown here.
void run_simulated_ranks(int ranks, const std::function<void(Collective&)>& body);

}  // namespace thresher
