#pragma once

// The device code is a library of its own, libthresher_cuda.so, loaded when a GPU is to be used. So
// one program serves machines with and without GPUs, and it starts quickly where there is none.

#include <memory>
#include <string>

#include "mpi/communicator.hpp"
#include "src/base/collective.hpp"

namespace thresher::mpi {

/// Loads the CUDA parts on first use: LibTorch's (so that its CUDA kernels register), then
/// Thresher's own. False where the build has none, a library or the driver is missing, or no GPU is
/// visible; the reason is put into `why_not` if it is not null. Local.
bool cuda_backend_available(std::string* why_not = nullptr);

/// The collective called `name`: "mpi", "nccl" or "auto", which is NCCL where every rank computes
/// on a GPU of its own and MPI otherwise. `cuda_device` is this rank's device index, -1 for the
/// CPU.
///
/// Where ranks share a GPU, rank 0 says so once and all use MPI. Throws UsageError, the same on
/// every rank, for an unknown name and where "nccl" is asked for and cannot be had. Collective.
std::unique_ptr<Collective> make_collective(const std::string& name, Communicator communicator,
                                            int cuda_device);

}  // namespace thresher::mpi
