#pragma once

// The one interface through which the science talks to other ranks. It has four bodies: local (one
// rank), simulated ranks in threads, MPI, and NCCL. Code in src takes a Collective& and never knows
// which.
//
// Every public operation is collective: all ranks call it, in the same order, with spans of the
// same length unless it says otherwise. Counting and the watchdog's labels live here, in the
// non-virtual part, so that no body can forget them.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

namespace thresher {

/// A score with the id that resolves ties. Order: score descending, id ascending.
struct ScoredId {
    double score;
    std::int64_t id;

    /// True where this one is picked before `other`. -0.0 equals +0.0; scores are never NaN.
    bool before(const ScoredId& other) const {
        return score > other.score || (score == other.score && id < other.id);
    }
};

/// The best candidate of all ranks, and the rank that brought it; id and rank are -1 where no rank
/// had one.
struct GlobalBest : ScoredId {
    int rank;
};

/// What the ranks exchanged, counted on this rank.
struct Traffic {
    std::int64_t collectives = 0;
    std::int64_t bytes =
        0;  ///< payload this rank handed in; what a gather's root keeps is not moved
};

/// The parts of an all-gather or gather: the bytes of all ranks in rank order.
template <class T>
struct Gathered {
    std::vector<T> values;
    std::vector<std::int64_t> counts;  ///< elements from each rank

    /// Elements that came from `rank`.
    std::span<const T> of(int rank) const {
        std::int64_t begin = 0;
        for (int r = 0; r < rank; ++r) begin += counts[static_cast<std::size_t>(r)];
        return std::span<const T>(values).subspan(
            static_cast<std::size_t>(begin),
            static_cast<std::size_t>(counts[static_cast<std::size_t>(rank)]));
    }
};

/// Told the name of the operation that begins, how many times as long as others it may take, and
/// when it has ended. The MPI watchdog is one.
class CollectiveObserver {
  public:
    virtual ~CollectiveObserver() = default;
    virtual void begin(std::string_view operation, double patience) = 0;
    virtual void end() = 0;
};

class Collective {
  public:
    virtual ~Collective() = default;
    Collective(const Collective&) = delete;
    Collective& operator=(const Collective&) = delete;

    virtual int rank() const = 0;
    virtual int size() const = 0;
    virtual std::string_view backend() const = 0;  ///< "local", "threads", "mpi", "nccl"
    bool is_root() const { return rank() == 0; }

    /// Element-wise sum over ranks, in place. Integers are exact; floating-point sums depend on the
    /// rank count: use tree_all_reduce (src/base/tree_sum.hpp) where they must not.
    void all_reduce_sum(std::span<std::int64_t> values);
    void all_reduce_sum(std::span<double> values);
    void all_reduce_sum(std::span<float> values);
    /// As all_reduce_sum, without waiting: `values` must stay and be left alone until
    /// finish_all_reduces(), which waits for all that were started. A body may do all of it at
    /// once. No other operation may come in between, and from one thread at a time.
    void start_all_reduce_sum(std::span<float> values);
    void finish_all_reduces();
    /// Whether the spans of sums may lie in the memory of this rank's GPU.
    virtual bool reads_device_memory() const { return false; }

    void all_reduce_min(std::span<std::int64_t> values);
    void all_reduce_max(std::span<std::int64_t> values);

    /// Copies the root's values to all ranks. Any length, 2^31 bytes and beyond included.
    template <class T>
    void broadcast(std::span<T> values, int root = 0) {
        static_assert(std::is_trivially_copyable_v<T>);
        broadcast_bytes(std::as_writable_bytes(values), root);
    }

    /// Each rank's values, of any length, at the root in rank order; empty elsewhere.
    template <class T>
    Gathered<T> gather_v(std::span<const T> values, int root = 0) {
        static_assert(std::is_trivially_copyable_v<T>);
        return from_bytes<T>(gather_bytes(std::as_bytes(values), root));
    }

    /// Each rank's values, of any length, on every rank in rank order.
    template <class T>
    Gathered<T> all_gather_v(std::span<const T> values) {
        static_assert(std::is_trivially_copyable_v<T>);
        return from_bytes<T>(all_gather_bytes(std::as_bytes(values)));
    }

    /// Element counts from a to b: `outgoing` holds what goes to rank 0, then to rank 1, ..., with
    /// `counts[r]` elements for rank r. Returns what the others sent here, in rank order.
    template <class T>
    Gathered<T> all_to_all_v(std::span<const T> outgoing, std::span<const std::int64_t> counts) {
        static_assert(std::is_trivially_copyable_v<T>);
        std::vector<std::int64_t> byte_counts(counts.begin(), counts.end());
        for (auto& count : byte_counts) count *= static_cast<std::int64_t>(sizeof(T));
        return from_bytes<T>(all_to_all_bytes(std::as_bytes(outgoing), byte_counts));
    }

    /// The best of the ranks' candidates, on every rank. A rank without one passes id -1.
    GlobalBest argmax(ScoredId candidate);

    void barrier();

    /// As all_reduce_sum, for ranks that come when their work is done: the observer is told to be
    /// ten times as patient.
    void all_reduce_sum_patiently(std::span<std::int64_t> values);

    /// Tells the other ranks that this one has failed, without waiting for them. Every rank then
    /// calls settle_failures, which is collective, with the ranks that did. agree() does both.
    /// Local.
    void announce_failure() { do_announce_failure(); }
    void settle_failures(std::span<const int> failed) { do_settle_failures(failed); }

    /// Whether another rank has announced a failure that is not settled. Local, and cheap.
    bool failure_announced() { return do_failure_announced(); }

    const Traffic& traffic() const { return traffic_; }

    /// At most one observer; null to remove it. It must outlive the collective or be removed.
    /// Local.
    void observe(CollectiveObserver* observer) { observer_ = observer; }

  protected:
    Collective() = default;

  private:
    virtual void do_sum(std::span<std::int64_t> values) = 0;
    virtual void do_sum(std::span<double> values) = 0;
    virtual void do_sum(std::span<float> values) = 0;
    virtual void do_start_sum(std::span<float> values) { do_sum(values); }
    virtual void do_finish_sums() {}
    virtual void do_min(std::span<std::int64_t> values) = 0;
    virtual void do_max(std::span<std::int64_t> values) = 0;
    virtual void do_broadcast(std::span<std::byte> bytes, int root) = 0;
    virtual Gathered<std::byte> do_gather(std::span<const std::byte> bytes, int root) = 0;
    virtual Gathered<std::byte> do_all_gather(std::span<const std::byte> bytes) = 0;
    virtual Gathered<std::byte> do_all_to_all(std::span<const std::byte> bytes,
                                              std::span<const std::int64_t> counts) = 0;
    virtual void do_barrier() = 0;
    virtual void do_announce_failure() = 0;
    virtual bool do_failure_announced() = 0;
    virtual void do_settle_failures(std::span<const int> failed) = 0;

    void broadcast_bytes(std::span<std::byte> bytes, int root);
    Gathered<std::byte> gather_bytes(std::span<const std::byte> bytes, int root);
    Gathered<std::byte> all_gather_bytes(std::span<const std::byte> bytes);
    Gathered<std::byte> all_to_all_bytes(std::span<const std::byte> bytes,
                                         std::span<const std::int64_t> counts);

    template <class T>
    static Gathered<T> from_bytes(Gathered<std::byte> gathered) {
        if constexpr (std::is_same_v<T, std::byte>) return gathered;
        Gathered<T> result;
        result.values.resize(gathered.values.size() / sizeof(T));
        if (!result.values.empty()) {
            std::memcpy(result.values.data(), gathered.values.data(),
                        result.values.size() * sizeof(T));
        }
        result.counts = std::move(gathered.counts);
        for (auto& count : result.counts) count /= static_cast<std::int64_t>(sizeof(T));
        return result;
    }

    Traffic traffic_;
    CollectiveObserver* observer_ = nullptr;
};

/// The collective of a process that is alone.
std::unique_ptr<Collective> make_local_collective();

}  // namespace thresher
