#include "mpi/nccl_communicator.hpp"

#include <array>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "mpi/checked.hpp"
#include "src/base/check.hpp"

namespace thresher::mpi {

namespace {

using BusId = std::array<char, 32>;

/// Rank 0's NCCL id on every rank; the same Error everywhere where NCCL gives none.
ncclUniqueId shared_unique_id(const Communicator& communicator) {
    struct {
        int code = ncclSuccess;
        ncclUniqueId id{};
    } message;
    if (communicator.rank() == 0) message.code = ncclGetUniqueId(&message.id);
    THRESHER_MPI(MPI_Bcast(&message, sizeof message, MPI_BYTE, 0, communicator.raw()));
    check_nccl(static_cast<ncclResult_t>(message.code), "ncclGetUniqueId on rank 0");
    return message.id;
}

}  // namespace

void check_cuda(cudaError_t code, std::string_view call) {
    THRESHER_CHECK(code == cudaSuccess, "{} failed: {} ({})", call.substr(0, call.find('(')),
                   cudaGetErrorString(code), cudaGetErrorName(code));
}

void check_nccl(ncclResult_t code, std::string_view call) {
    THRESHER_CHECK(code == ncclSuccess, "{} failed: {}; {}; set NCCL_DEBUG=INFO to see why",
                   call.substr(0, call.find('(')), ncclGetErrorString(code),
                   ncclGetLastError(nullptr));
}

bool ranks_share_a_gpu(const Communicator& communicator, int device) {
    const Communicator node = communicator.split_node_local();
    BusId own{};
    THRESHER_CUDA(cudaDeviceGetPCIBusId(own.data(), static_cast<int>(own.size()), device));
    std::vector<BusId> all(static_cast<std::size_t>(node.size()));
    THRESHER_MPI(MPI_Allgather(own.data(), sizeof own, MPI_CHAR, all.data(), sizeof own, MPI_CHAR,
                               node.raw()));
    int shared = std::set<BusId>(all.begin(), all.end()).size() < all.size() ? 1 : 0;
    THRESHER_MPI(MPI_Allreduce(MPI_IN_PLACE, &shared, 1, MPI_INT, MPI_MAX, communicator.raw()));
    return shared != 0;
}

NcclCommunicator::NcclCommunicator(Communicator communicator, int device)
    : mpi_(std::move(communicator)), device_(device) {
    const ncclUniqueId id = shared_unique_id(mpi_);
    use_device();
    // Ordered with the default stream, where LibTorch computes unless it is told otherwise.
    THRESHER_CUDA(cudaStreamCreateWithFlags(&stream_, cudaStreamDefault));
    THRESHER_CUDA(cudaStreamCreateWithFlags(&beside_, cudaStreamNonBlocking));
    THRESHER_CUDA(cudaEventCreateWithFlags(&asked_for_, cudaEventDisableTiming));
    const ncclResult_t own = ncclCommInitRank(&nccl_, mpi_.size(), id, mpi_.rank());
    int failed = own == ncclSuccess ? 0 : 1;
    THRESHER_MPI(MPI_Allreduce(MPI_IN_PLACE, &failed, 1, MPI_INT, MPI_SUM, mpi_.raw()));
    if (failed == 0) return;
    if (nccl_ != nullptr) ncclCommAbort(nccl_);
    cudaEventDestroy(asked_for_);
    cudaStreamDestroy(beside_);
    cudaStreamDestroy(stream_);
    check_nccl(own, "ncclCommInitRank");
    fail<Error>("{} of {} ranks could not start NCCL, though this one could", failed, mpi_.size());
}

NcclCommunicator::NcclCommunicator(NcclCommunicator&& other) noexcept
    : mpi_(std::move(other.mpi_)),
      device_(other.device_),
      stream_(std::exchange(other.stream_, nullptr)),
      beside_(std::exchange(other.beside_, nullptr)),
      asked_for_(std::exchange(other.asked_for_, nullptr)),
      nccl_(std::exchange(other.nccl_, nullptr)),
      buffer_(std::exchange(other.buffer_, nullptr)),
      buffer_bytes_(std::exchange(other.buffer_bytes_, 0)),
      broken_(other.broken_) {}

NcclCommunicator& NcclCommunicator::operator=(NcclCommunicator&& other) noexcept {
    swap(other);
    return *this;
}

void NcclCommunicator::swap(NcclCommunicator& other) noexcept {
    std::swap(mpi_, other.mpi_);
    std::swap(device_, other.device_);
    std::swap(stream_, other.stream_);
    std::swap(beside_, other.beside_);
    std::swap(asked_for_, other.asked_for_);
    std::swap(nccl_, other.nccl_);
    std::swap(buffer_, other.buffer_);
    std::swap(buffer_bytes_, other.buffer_bytes_);
    std::swap(broken_, other.broken_);
}

NcclCommunicator::~NcclCommunicator() {
    if (nccl_ == nullptr) return;
    cudaSetDevice(device_);
    // A broken communicator would wait for the rank that is gone.
    broken_ ? ncclCommAbort(nccl_) : ncclCommDestroy(nccl_);
    cudaFree(buffer_);
    cudaEventDestroy(asked_for_);
    cudaStreamDestroy(beside_);
    cudaStreamDestroy(stream_);
}

void NcclCommunicator::use_device() const { THRESHER_CUDA(cudaSetDevice(device_)); }

std::byte* NcclCommunicator::buffer(std::size_t size_bytes) {
    if (size_bytes > buffer_bytes_) {
        THRESHER_CUDA(cudaFree(std::exchange(buffer_, nullptr)));
        buffer_bytes_ = 0;
        void* memory = nullptr;
        THRESHER_CUDA(cudaMalloc(&memory, size_bytes));
        buffer_ = static_cast<std::byte*>(memory);
        buffer_bytes_ = size_bytes;
    }
    return buffer_;
}

cudaStream_t NcclCommunicator::stream_beside() {
    THRESHER_CUDA(cudaEventRecord(asked_for_, cudaStreamLegacy));
    THRESHER_CUDA(cudaStreamWaitEvent(beside_, asked_for_, 0));
    return beside_;
}

void NcclCommunicator::wait(std::string_view operation) {
    wait_for(stream_, operation);
    wait_for(beside_, operation);
}

void NcclCommunicator::wait_for(cudaStream_t stream, std::string_view operation) {
    while (true) {
        const cudaError_t state = cudaStreamQuery(stream);
        if (state == cudaSuccess) return;
        if (state != cudaErrorNotReady) {
            broken_ = true;
            check_cuda(state, operation);
        }
        ncclResult_t result = ncclSuccess;
        THRESHER_NCCL(ncclCommGetAsyncError(nccl_, &result));
        if (result != ncclSuccess && result != ncclInProgress) {
            broken_ = true;
            check_nccl(result, operation);
        }
        std::this_thread::yield();
    }
}

}  // namespace thresher::mpi
