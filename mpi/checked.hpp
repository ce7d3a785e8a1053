#pragma once

// Every MPI call goes through here, so that a failure names the call and what MPI says of it.

#include <mpi.h>

#include <string_view>

namespace thresher::mpi {

/// Throws Error with the name of the call and MPI's own text unless `code` is MPI_SUCCESS. `call`
/// is the source text of the call; its arguments are left out of the message. Local.
void check(int code, std::string_view call);

}  // namespace thresher::mpi

/// THRESHER_MPI(MPI_Barrier(communicator));
#define THRESHER_MPI(call) ::thresher::mpi::check((call), #call)
