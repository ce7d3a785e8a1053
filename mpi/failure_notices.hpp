#pragma once

// Empty messages by which a rank that failed tells the others so, while they still work.

#include <span>
#include <vector>

#include "mpi/communicator.hpp"

namespace thresher::mpi {

class FailureNotices {
  public:
    /// Sends a notice to every other rank of `communicator`. Local.
    void announce(const Communicator& communicator);

    /// Whether a notice is waiting here. Local.
    bool announced(const Communicator& communicator) const;

    /// Receives the notices of the ranks that `failed`, which all of them know. Collective.
    void settle(const Communicator& communicator, std::span<const int> failed);

  private:
    std::vector<MPI_Request> sent_;
};

}  // namespace thresher::mpi
