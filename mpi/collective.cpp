#include "mpi/collective.hpp"

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

#include "mpi/checked.hpp"
#include "mpi/failure_notices.hpp"
#include "src/base/check.hpp"
#include "src/base/huge_pages.hpp"
#include "src/base/narrow.hpp"

namespace thresher::mpi {

namespace {

constexpr int kTag = 1;

/// Where each rank's part begins in what was gathered.
std::vector<std::int64_t> offsets_of(std::span<const std::int64_t> counts) {
    std::vector<std::int64_t> offsets(counts.size());
    std::exclusive_scan(counts.begin(), counts.end(), offsets.begin(), std::int64_t{0});
    return offsets;
}

std::vector<int> as_ints(std::span<const std::int64_t> values) {
    std::vector<int> ints;
    for (std::int64_t value : values) ints.push_back(narrow<int>(value));
    return ints;
}

Gathered<std::byte> room_for(std::vector<std::int64_t> counts) {
    const auto total = std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
    Gathered<std::byte> room{{}, std::move(counts)};
    resize_on_huge_pages(room.values, static_cast<std::size_t>(total));
    return room;
}

class MpiCollective final : public Collective {
  public:
    MpiCollective(Communicator communicator, std::size_t slice_bytes)
        : communicator_(std::move(communicator)), slice_(static_cast<std::int64_t>(slice_bytes)) {}

    int rank() const override { return communicator_.rank(); }
    int size() const override { return communicator_.size(); }
    std::string_view backend() const override { return "mpi"; }

  private:
    MPI_Comm raw() const { return communicator_.raw(); }
    std::size_t ranks() const { return static_cast<std::size_t>(size()); }

    template <class T>
    void all_reduce(std::span<T> values, MPI_Datatype type, MPI_Op operation) {
        const auto slice = static_cast<std::size_t>(slice_) / sizeof(T);
        for (std::size_t begin = 0; begin < values.size(); begin += slice) {
            const auto count = narrow<int>(std::min(slice, values.size() - begin));
            THRESHER_MPI(
                MPI_Allreduce(MPI_IN_PLACE, values.data() + begin, count, type, operation, raw()));
        }
    }

    void do_sum(std::span<std::int64_t> values) override {
        all_reduce(values, MPI_INT64_T, MPI_SUM);
    }
    void do_sum(std::span<double> values) override { all_reduce(values, MPI_DOUBLE, MPI_SUM); }
    void do_sum(std::span<float> values) override { all_reduce(values, MPI_FLOAT, MPI_SUM); }
    void do_min(std::span<std::int64_t> values) override {
        all_reduce(values, MPI_INT64_T, MPI_MIN);
    }
    void do_max(std::span<std::int64_t> values) override {
        all_reduce(values, MPI_INT64_T, MPI_MAX);
    }

    void do_barrier() override { THRESHER_MPI(MPI_Barrier(raw())); }

    void do_announce_failure() override { notices_.announce(communicator_); }
    bool do_failure_announced() override { return notices_.announced(communicator_); }
    void do_settle_failures(std::span<const int> failed) override {
        notices_.settle(communicator_, failed);
    }

    void do_broadcast(std::span<std::byte> bytes, int root) override {
        broadcast_slices(bytes.data(), static_cast<std::int64_t>(bytes.size()), root);
    }

    void broadcast_slices(std::byte* data, std::int64_t size, int root) {
        for (std::int64_t begin = 0; begin < size; begin += slice_) {
            const int count = narrow<int>(std::min(slice_, size - begin));
            THRESHER_MPI(MPI_Bcast(data + begin, count, MPI_BYTE, root, raw()));
        }
    }

    Gathered<std::byte> do_gather(std::span<const std::byte> bytes, int root) override {
        // All ranks learn all counts, so that all take the same way.
        auto counts = all_counts(static_cast<std::int64_t>(bytes.size()));
        const auto total = std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
        const bool at_root = rank() == root;
        auto result = at_root ? room_for(counts) : Gathered<std::byte>{};
        const auto offsets = offsets_of(counts);
        if (total <= slice_) {
            const auto int_counts = as_ints(counts);
            const auto int_offsets = as_ints(offsets);
            THRESHER_MPI(MPI_Gatherv(bytes.data(), narrow<int>(bytes.size()), MPI_BYTE,
                                     result.values.data(), int_counts.data(), int_offsets.data(),
                                     MPI_BYTE, root, raw()));
            return result;
        }
        std::vector<MPI_Request> requests;
        for (std::size_t from = 0; at_root && from < ranks(); ++from) {
            receive_slices(result.values.data() + offsets[from], counts[from],
                           static_cast<int>(from), requests);
        }
        send_slices(bytes.data(), static_cast<std::int64_t>(bytes.size()), root, requests);
        wait_for(requests);
        return result;
    }

    Gathered<std::byte> do_all_gather(std::span<const std::byte> bytes) override {
        auto result = room_for(all_counts(static_cast<std::int64_t>(bytes.size())));
        const auto offsets = offsets_of(result.counts);
        if (static_cast<std::int64_t>(result.values.size()) <= slice_) {
            const auto int_counts = as_ints(result.counts);
            const auto int_offsets = as_ints(offsets);
            THRESHER_MPI(MPI_Allgatherv(bytes.data(), narrow<int>(bytes.size()), MPI_BYTE,
                                        result.values.data(), int_counts.data(), int_offsets.data(),
                                        MPI_BYTE, raw()));
            return result;
        }
        const auto own = static_cast<std::size_t>(rank());
        std::copy(bytes.begin(), bytes.end(), result.values.begin() + offsets[own]);
        for (std::size_t root = 0; root < ranks(); ++root) {
            broadcast_slices(result.values.data() + offsets[root], result.counts[root],
                             static_cast<int>(root));
        }
        return result;
    }

    Gathered<std::byte> do_all_to_all(std::span<const std::byte> bytes,
                                      std::span<const std::int64_t> counts) override {
        std::vector<std::int64_t> incoming(ranks());
        THRESHER_MPI(
            MPI_Alltoall(counts.data(), 1, MPI_INT64_T, incoming.data(), 1, MPI_INT64_T, raw()));
        auto result = room_for(std::move(incoming));
        const auto from = offsets_of(result.counts);
        const auto to = offsets_of(counts);

        auto largest = static_cast<std::int64_t>(std::max(bytes.size(), result.values.size()));
        THRESHER_MPI(MPI_Allreduce(MPI_IN_PLACE, &largest, 1, MPI_INT64_T, MPI_MAX, raw()));
        if (largest <= slice_) {
            const auto send_counts = as_ints(counts), send_offsets = as_ints(to);
            const auto receive_counts = as_ints(result.counts), receive_offsets = as_ints(from);
            THRESHER_MPI(MPI_Alltoallv(bytes.data(), send_counts.data(), send_offsets.data(),
                                       MPI_BYTE, result.values.data(), receive_counts.data(),
                                       receive_offsets.data(), MPI_BYTE, raw()));
            return result;
        }
        std::vector<MPI_Request> requests;
        for (std::size_t other = 0; other < ranks(); ++other) {
            receive_slices(result.values.data() + from[other], result.counts[other],
                           static_cast<int>(other), requests);
        }
        for (std::size_t other = 0; other < ranks(); ++other) {
            send_slices(bytes.data() + to[other], counts[other], static_cast<int>(other), requests);
        }
        wait_for(requests);
        return result;
    }

    std::vector<std::int64_t> all_counts(std::int64_t own) {
        std::vector<std::int64_t> counts(ranks());
        THRESHER_MPI(MPI_Allgather(&own, 1, MPI_INT64_T, counts.data(), 1, MPI_INT64_T, raw()));
        return counts;
    }

    void send_slices(const std::byte* data, std::int64_t size, int to,
                     std::vector<MPI_Request>& requests) {
        for (std::int64_t begin = 0; begin < size; begin += slice_) {
            const int count = narrow<int>(std::min(slice_, size - begin));
            THRESHER_MPI(MPI_Isend(data + begin, count, MPI_BYTE, to, kTag, raw(),
                                   &requests.emplace_back(MPI_REQUEST_NULL)));
        }
    }

    void receive_slices(std::byte* data, std::int64_t size, int from,
                        std::vector<MPI_Request>& requests) {
        for (std::int64_t begin = 0; begin < size; begin += slice_) {
            const int count = narrow<int>(std::min(slice_, size - begin));
            THRESHER_MPI(MPI_Irecv(data + begin, count, MPI_BYTE, from, kTag, raw(),
                                   &requests.emplace_back(MPI_REQUEST_NULL)));
        }
    }

    static void wait_for(std::vector<MPI_Request>& requests) {
        THRESHER_MPI(
            MPI_Waitall(narrow<int>(requests.size()), requests.data(), MPI_STATUSES_IGNORE));
    }

    Communicator communicator_;
    FailureNotices notices_;
    std::int64_t slice_;
};

}  // namespace

std::unique_ptr<Collective> make_mpi_collective(Communicator communicator,
                                                std::size_t slice_bytes) {
    THRESHER_CHECK(slice_bytes >= 8 && slice_bytes <= (std::size_t{1} << 31) - 8,
                   "MPI messages in slices of {} bytes; allowed: 8 to 2^31 - 8", slice_bytes);
    return std::make_unique<MpiCollective>(std::move(communicator), slice_bytes);
}

}  // namespace thresher::mpi
