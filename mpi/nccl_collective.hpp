#pragma once

// What libthresher_cuda.so offers: the NCCL body of Collective. Programs do not call these
// functions; mpi/cuda_backend.hpp loads the library and finds them by name.

#include <cstddef>

#include "mpi/communicator.hpp"
#include "src/base/collective.hpp"

extern "C" {

/// The number of visible GPUs; where there is none, the reason is written to `why_not` (at most
/// `capacity` bytes with the closing zero). Local.
int thresher_cuda_device_count(char* why_not, std::size_t capacity);

/// The NCCL body of Collective on this rank's `device`, owned by the caller, or null, on every
/// rank, where ranks of a node share a GPU; then `communicator` is left as it was, else it is taken
/// over.
///
/// Host spans are staged through a device buffer; device spans (found out by asking CUDA) are used
/// in place and must be ready on the default stream. Results of gathers are in host memory.
/// Collective.
thresher::Collective* thresher_cuda_make_collective(thresher::mpi::Communicator* communicator,
                                                    int device);
}
