#include "mpi/nccl_collective.hpp"

#include <algorithm>
#include <cstdio>
#include <numeric>
#include <utility>
#include <vector>

#include "mpi/checked.hpp"
#include "mpi/failure_notices.hpp"
#include "mpi/nccl_communicator.hpp"

namespace thresher::mpi {

namespace {

/// Host spans are staged in slices of this size, so that a long one needs little device memory.
constexpr std::size_t kSliceBytes = std::size_t{256} << 20;

bool on_device(const void* pointer) {
    cudaPointerAttributes attributes{};
    THRESHER_CUDA(cudaPointerGetAttributes(&attributes, pointer));
    return attributes.type == cudaMemoryTypeDevice || attributes.type == cudaMemoryTypeManaged;
}

std::vector<std::size_t> offsets_of(std::span<const std::int64_t> counts) {
    std::vector<std::size_t> offsets(counts.size());
    std::exclusive_scan(counts.begin(), counts.end(), offsets.begin(), std::size_t{0});
    return offsets;
}

class NcclCollective final : public Collective {
  public:
    explicit NcclCollective(NcclCommunicator communicator) : nccl_(std::move(communicator)) {}

    int rank() const override { return nccl_.mpi().rank(); }
    int size() const override { return nccl_.mpi().size(); }
    std::string_view backend() const override { return "nccl"; }
    bool reads_device_memory() const override { return true; }

  private:
    std::size_t ranks() const { return static_cast<std::size_t>(size()); }

    /// Runs operation(device pointer, bytes) on the span where it is, or on slices copied to the
    /// device and, where `copies_back`, back.
    template <class Operation>
    void in_place(std::string_view name, std::span<std::byte> bytes, bool copies_in,
                  bool copies_back, const Operation& operation) {
        if (bytes.empty()) return;
        nccl_.use_device();
        if (on_device(bytes.data())) {
            operation(bytes.data(), bytes.size());
            nccl_.wait(name);
            return;
        }
        std::byte* staged = nccl_.buffer(std::min(bytes.size(), kSliceBytes));
        for (std::size_t begin = 0; begin < bytes.size(); begin += kSliceBytes) {
            const auto slice = bytes.subspan(begin, std::min(kSliceBytes, bytes.size() - begin));
            if (copies_in) copy(staged, slice.data(), slice.size());
            operation(staged, slice.size());
            if (copies_back) copy(slice.data(), staged, slice.size());
            nccl_.wait(name);
        }
    }

    void copy(void* to, const void* from, std::size_t size_bytes) {
        THRESHER_CUDA(cudaMemcpyAsync(to, from, size_bytes, cudaMemcpyDefault, nccl_.stream()));
    }

    template <class T>
    void all_reduce(std::span<T> values, ncclDataType_t type, ncclRedOp_t reduction) {
        in_place("ncclAllReduce", std::as_writable_bytes(values), true, true,
                 [&](std::byte* data, std::size_t size_bytes) {
                     THRESHER_NCCL(ncclAllReduce(data, data, size_bytes / sizeof(T), type,
                                                 reduction, nccl_.raw(), nccl_.stream()));
                 });
    }

    void do_sum(std::span<std::int64_t> values) override { all_reduce(values, ncclInt64, ncclSum); }
    void do_sum(std::span<double> values) override { all_reduce(values, ncclFloat64, ncclSum); }
    void do_sum(std::span<float> values) override { all_reduce(values, ncclFloat32, ncclSum); }
    /// Beside the computation that goes on; what lies on the host is reduced at once.
    void do_start_sum(std::span<float> values) override {
        nccl_.use_device();
        if (values.empty() || !on_device(values.data())) return do_sum(values);
        const cudaStream_t beside = nccl_.stream_beside();
        THRESHER_NCCL(ncclAllReduce(values.data(), values.data(), values.size(), ncclFloat32,
                                    ncclSum, nccl_.raw(), beside));
    }
    void do_finish_sums() override {
        nccl_.use_device();
        nccl_.wait("ncclAllReduce of gradients");
    }

    void do_min(std::span<std::int64_t> values) override { all_reduce(values, ncclInt64, ncclMin); }
    void do_max(std::span<std::int64_t> values) override { all_reduce(values, ncclInt64, ncclMax); }

    void do_broadcast(std::span<std::byte> bytes, int root) override {
        const bool at_root = rank() == root;
        in_place("ncclBroadcast", bytes, at_root, !at_root,
                 [&](std::byte* data, std::size_t size_bytes) {
                     THRESHER_NCCL(ncclBroadcast(data, data, size_bytes, ncclUint8, root,
                                                 nccl_.raw(), nccl_.stream()));
                 });
    }

    Gathered<std::byte> do_gather(std::span<const std::byte> bytes, int root) override {
        std::vector<std::int64_t> outgoing(ranks(), 0);
        outgoing[static_cast<std::size_t>(root)] = static_cast<std::int64_t>(bytes.size());
        auto result = exchange("gather over NCCL", bytes, outgoing);
        return rank() == root ? std::move(result) : Gathered<std::byte>{};
    }

    Gathered<std::byte> do_all_to_all(std::span<const std::byte> bytes,
                                      std::span<const std::int64_t> counts) override {
        return exchange("all-to-all over NCCL", bytes, counts);
    }

    Gathered<std::byte> do_all_gather(std::span<const std::byte> bytes) override {
        const auto own = static_cast<std::int64_t>(bytes.size());
        std::vector<std::int64_t> incoming(ranks());
        THRESHER_MPI(MPI_Allgather(&own, 1, MPI_INT64_T, incoming.data(), 1, MPI_INT64_T,
                                   nccl_.mpi().raw()));
        return deliver(
            "all-gather over NCCL", bytes, std::move(incoming),
            [&](const std::byte* send, std::byte* receive, std::span<const std::int64_t> counts,
                std::span<const std::size_t> offsets) {
                for (std::size_t from = 0; from < ranks(); ++from) {
                    if (counts[from] == 0) continue;
                    THRESHER_NCCL(ncclBroadcast(
                        send, receive + offsets[from], static_cast<std::size_t>(counts[from]),
                        ncclUint8, static_cast<int>(from), nccl_.raw(), nccl_.stream()));
                }
            });
    }

    /// `outgoing[r]` bytes of `bytes`, in rank order, go to rank r.
    Gathered<std::byte> exchange(std::string_view name, std::span<const std::byte> bytes,
                                 std::span<const std::int64_t> outgoing) {
        std::vector<std::int64_t> incoming(ranks());
        THRESHER_MPI(MPI_Alltoall(outgoing.data(), 1, MPI_INT64_T, incoming.data(), 1, MPI_INT64_T,
                                  nccl_.mpi().raw()));
        const auto to = offsets_of(outgoing);
        return deliver(
            name, bytes, std::move(incoming),
            [&](const std::byte* send, std::byte* receive, std::span<const std::int64_t> counts,
                std::span<const std::size_t> offsets) {
                for (std::size_t other = 0; other < ranks(); ++other) {
                    const int peer = static_cast<int>(other);
                    if (outgoing[other] > 0) {
                        THRESHER_NCCL(ncclSend(send + to[other],
                                               static_cast<std::size_t>(outgoing[other]), ncclUint8,
                                               peer, nccl_.raw(), nccl_.stream()));
                    }
                    if (counts[other] > 0) {
                        THRESHER_NCCL(ncclRecv(receive + offsets[other],
                                               static_cast<std::size_t>(counts[other]), ncclUint8,
                                               peer, nccl_.raw(), nccl_.stream()));
                    }
                }
            });
    }

    /// Puts `bytes` on the device unless they are there, runs `operations(send, receive, counts,
    /// offsets)` as one NCCL group and brings what arrived to the host.
    template <class Operations>
    Gathered<std::byte> deliver(std::string_view name, std::span<const std::byte> bytes,
                                std::vector<std::int64_t> incoming, const Operations& operations) {
        nccl_.use_device();
        Gathered<std::byte> result;
        const auto total = std::accumulate(incoming.begin(), incoming.end(), std::int64_t{0});
        result.values.resize(static_cast<std::size_t>(total));
        result.counts = std::move(incoming);

        const bool in_place = !bytes.empty() && on_device(bytes.data());
        std::byte* receive = nccl_.buffer(result.values.size() + (in_place ? 0 : bytes.size()) + 1);
        std::byte* staged = receive + result.values.size();
        if (!in_place && !bytes.empty()) copy(staged, bytes.data(), bytes.size());
        THRESHER_NCCL(ncclGroupStart());
        operations(in_place ? bytes.data() : staged, receive,
                   std::span(std::as_const(result.counts)),
                   std::span<const std::size_t>(offsets_of(result.counts)));
        THRESHER_NCCL(ncclGroupEnd());
        if (total > 0) copy(result.values.data(), receive, result.values.size());
        nccl_.wait(name);
        return result;
    }

    void do_barrier() override { THRESHER_MPI(MPI_Barrier(nccl_.mpi().raw())); }

    void do_announce_failure() override { notices_.announce(nccl_.mpi()); }
    bool do_failure_announced() override { return notices_.announced(nccl_.mpi()); }
    void do_settle_failures(std::span<const int> failed) override {
        notices_.settle(nccl_.mpi(), failed);
    }

    NcclCommunicator nccl_;
    FailureNotices notices_;
};

}  // namespace

}  // namespace thresher::mpi

int thresher_cuda_device_count(char* why_not, std::size_t capacity) {
    int count = 0;
    const cudaError_t code = cudaGetDeviceCount(&count);
    if (code == cudaSuccess && count > 0) return count;
    std::snprintf(why_not, capacity, "%s",
                  code == cudaSuccess ? "no GPU is visible" : cudaGetErrorString(code));
    return 0;
}

thresher::Collective* thresher_cuda_make_collective(thresher::mpi::Communicator* communicator,
                                                    int device) {
    using namespace thresher::mpi;
    if (ranks_share_a_gpu(*communicator, device)) return nullptr;
    return new NcclCollective(NcclCommunicator(std::move(*communicator), device));
}
