#pragma once

// A leak check for debug builds: how many communicators and requests were made and not given back,
// counted by taking the place of the MPI calls that make and free them (MPI's profiling interface),
// so those that HDF5 makes count too.

#include <cstdint>

namespace thresher::mpi {

struct OpenHandles {
    std::int64_t communicators = 0, requests = 0;
};

/// Requests that are left open on purpose no longer count. Local.
void leave_open(std::int64_t requests);

/// What is open in this process; always 0 in builds with NDEBUG, which count nothing. Local.
OpenHandles open_handles();

}  // namespace thresher::mpi
