#include "src/base/collective.hpp"

#include "src/base/check.hpp"

namespace thresher {

namespace {

/// How many times as long as in an operation one rank may wait for another that is at work.
constexpr double kPatience = 10.0;

/// Marks the span of one operation for the observer, and counts it.
class Operation {
  public:
    Operation(Traffic& traffic, CollectiveObserver* observer, std::string_view name,
              std::size_t size_bytes, double patience = 1.0)
        : observer_(observer) {
        traffic.collectives += 1;
        traffic.bytes += static_cast<std::int64_t>(size_bytes);
        if (observer_ != nullptr) observer_->begin(name, patience);
    }
    ~Operation() {
        if (observer_ != nullptr) observer_->end();
    }
    Operation(const Operation&) = delete;
    Operation& operator=(const Operation&) = delete;

  private:
    CollectiveObserver* observer_;
};

}  // namespace

void Collective::all_reduce_sum(std::span<std::int64_t> values) {
    Operation operation(traffic_, observer_, "all-reduce (sum, int64)", values.size_bytes());
    do_sum(values);
}

void Collective::all_reduce_sum_patiently(std::span<std::int64_t> values) {
    Operation operation(traffic_, observer_, "wait for the work of all ranks", values.size_bytes(),
                        kPatience);
    do_sum(values);
}

void Collective::all_reduce_sum(std::span<double> values) {
    Operation operation(traffic_, observer_, "all-reduce (sum, float64)", values.size_bytes());
    do_sum(values);
}

void Collective::all_reduce_sum(std::span<float> values) {
    Operation operation(traffic_, observer_, "all-reduce (sum, float32)", values.size_bytes());
    do_sum(values);
}

void Collective::start_all_reduce_sum(std::span<float> values) {
    Operation operation(traffic_, observer_, "start of an all-reduce (sum, float32)",
                        values.size_bytes());
    do_start_sum(values);
}

void Collective::finish_all_reduces() {
    // Counted when they were started.
    Traffic counted;
    Operation operation(counted, observer_, "all-reduces (sum, float32) that were started", 0);
    do_finish_sums();
}

void Collective::all_reduce_min(std::span<std::int64_t> values) {
    Operation operation(traffic_, observer_, "all-reduce (min)", values.size_bytes());
    do_min(values);
}

void Collective::all_reduce_max(std::span<std::int64_t> values) {
    Operation operation(traffic_, observer_, "all-reduce (max)", values.size_bytes());
    do_max(values);
}

GlobalBest Collective::argmax(ScoredId candidate) {
    Gathered<ScoredId> all = all_gather_v(std::span<const ScoredId>(&candidate, 1));
    GlobalBest best{{0.0, -1}, -1};
    for (int from = 0; from < size(); ++from) {
        const ScoredId& other = all.values[static_cast<std::size_t>(from)];
        if (other.id >= 0 && (best.id < 0 || other.before(best))) best = {other, from};
    }
    return best;
}

void Collective::barrier() {
    Operation operation(traffic_, observer_, "barrier", 0);
    do_barrier();
}

void Collective::broadcast_bytes(std::span<std::byte> bytes, int root) {
    THRESHER_CHECK(root >= 0 && root < size(), "broadcast from rank {}, but there are {} ranks",
                   root, size());
    Operation operation(traffic_, observer_, "broadcast", bytes.size());
    do_broadcast(bytes, root);
}

Gathered<std::byte> Collective::gather_bytes(std::span<const std::byte> bytes, int root) {
    THRESHER_CHECK(root >= 0 && root < size(), "gather to rank {}, but there are {} ranks", root,
                   size());
    Operation operation(traffic_, observer_, "gather", rank() == root ? 0 : bytes.size());
    return do_gather(bytes, root);
}

Gathered<std::byte> Collective::all_gather_bytes(std::span<const std::byte> bytes) {
    Operation operation(traffic_, observer_, "all-gather", bytes.size());
    return do_all_gather(bytes);
}

Gathered<std::byte> Collective::all_to_all_bytes(std::span<const std::byte> bytes,
                                                 std::span<const std::int64_t> counts) {
    THRESHER_CHECK(counts.size() == static_cast<std::size_t>(size()),
                   "all-to-all with {} counts, but there are {} ranks", counts.size(), size());
    Operation operation(traffic_, observer_, "all-to-all", bytes.size());
    return do_all_to_all(bytes, counts);
}

namespace {

class LocalCollective final : public Collective {
  public:
    int rank() const override { return 0; }
    int size() const override { return 1; }
    std::string_view backend() const override { return "local"; }

  private:
    void do_sum(std::span<std::int64_t>) override {}
    void do_sum(std::span<double>) override {}
    void do_sum(std::span<float>) override {}
    void do_min(std::span<std::int64_t>) override {}
    void do_max(std::span<std::int64_t>) override {}
    void do_broadcast(std::span<std::byte>, int) override {}
    Gathered<std::byte> do_gather(std::span<const std::byte> bytes, int) override {
        return do_all_gather(bytes);
    }
    Gathered<std::byte> do_all_gather(std::span<const std::byte> bytes) override {
        return {{bytes.begin(), bytes.end()}, {static_cast<std::int64_t>(bytes.size())}};
    }
    Gathered<std::byte> do_all_to_all(std::span<const std::byte> bytes,
                                      std::span<const std::int64_t>) override {
        return do_all_gather(bytes);
    }
    void do_barrier() override {}
    void do_announce_failure() override {}
    bool do_failure_announced() override { return false; }
    void do_settle_failures(std::span<const int>) override {}
};

}  // namespace

std::unique_ptr<Collective> make_local_collective() { return std::make_unique<LocalCollective>(); }

}  // namespace thresher
