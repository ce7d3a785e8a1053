#pragma once

// The MPI body of Messages: non-blocking messages between two ranks.

#include <cstdint>
#include <memory>

#include "mpi/communicator.hpp"
#include "src/base/messages.hpp"

namespace thresher::mpi {

/// Takes the communicator over, which must have no other traffic. close() is to be called before it
/// goes, unless the job is being ended. Collective.
std::unique_ptr<Messages> make_mpi_messages(Communicator communicator, std::int64_t most_unsent);

}  // namespace thresher::mpi
