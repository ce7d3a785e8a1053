#pragma once

// What NCCL needs on one rank, owned together: the MPI communicator that bootstraps it, a stream,
// the NCCL communicator and a device buffer. Part of libthresher_cuda.so.

#include <cuda_runtime_api.h>
#include <nccl.h>

#include <cstddef>
#include <string_view>

#include "mpi/communicator.hpp"

namespace thresher::mpi {

/// Throw Error with the name of the call and the library's text unless the call succeeded.
void check_cuda(cudaError_t code, std::string_view call);
void check_nccl(ncclResult_t code, std::string_view call);

/// True where two ranks of a node compute on the same GPU, which NCCL refuses. Collective.
bool ranks_share_a_gpu(const Communicator& communicator, int device);

class NcclCommunicator {
  public:
    /// Takes the communicator over; `device` is this rank's CUDA device index. Collective.
    NcclCommunicator(Communicator communicator, int device);
    NcclCommunicator(NcclCommunicator&& other) noexcept;
    NcclCommunicator& operator=(NcclCommunicator&& other) noexcept;
    ~NcclCommunicator();

    const Communicator& mpi() const { return mpi_; }
    ncclComm_t raw() const { return nccl_; }
    cudaStream_t stream() const { return stream_; }

    /// Makes this rank's device the current one of the calling thread.
    void use_device() const;

    /// At least `size_bytes` of device memory, the same memory at each call; contents are lost
    /// where it grows.
    std::byte* buffer(std::size_t size_bytes);

    /// Another stream, for what runs beside LibTorch's work: what is put on it from here on waits
    /// for that work as far as it has been asked for, and not for what comes after.
    cudaStream_t stream_beside();

    /// Waits until all that was put on the streams is done. Throws Error where NCCL reports that
    /// the network or another rank has failed; the communicator cannot be used after that.
    void wait(std::string_view operation);

  private:
    void swap(NcclCommunicator& other) noexcept;
    void wait_for(cudaStream_t stream, std::string_view operation);

    Communicator mpi_;
    int device_;
    cudaStream_t stream_ = nullptr, beside_ = nullptr;
    cudaEvent_t asked_for_ = nullptr;
    ncclComm_t nccl_ = nullptr;
    std::byte* buffer_ = nullptr;
    std::size_t buffer_bytes_ = 0;
    bool broken_ = false;
};

}  // namespace thresher::mpi

/// THRESHER_CUDA(cudaSetDevice(0)); and THRESHER_NCCL(ncclGroupStart());
#define THRESHER_CUDA(call) ::thresher::mpi::check_cuda((call), #call)
#define THRESHER_NCCL(call) ::thresher::mpi::check_nccl((call), #call)
