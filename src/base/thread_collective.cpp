#include "src/base/thread_collective.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "src/base/check.hpp"

namespace thresher {

namespace {

/// Thrown in a rank that waits while another one has failed; never leaves this file.
struct Released {};

/// What one rank brings to an operation.
struct Posted {
    std::string_view operation;
    const void* data = nullptr;
    std::size_t size = 0;  ///< bytes or elements, see `operation`
    const std::int64_t* counts = nullptr;
    int root = 0;
};

/// What the threads share: a board for what they post, and a barrier that can be broken.
class Board {
  public:
    explicit Board(int ranks) : posted_(static_cast<std::size_t>(ranks)) {}

    int ranks() const { return static_cast<int>(posted_.size()); }
    const Posted& of(int rank) const { return posted_[static_cast<std::size_t>(rank)]; }

    /// Shows what this rank brings and waits for the others'. Until wait() is called, none takes it
    /// away.
    void post(int rank, const Posted& posted) {
        posted_[static_cast<std::size_t>(rank)] = posted;
        wait();
        // Every rank compares all of them, so that all throw and none reads what another has freed.
        const Posted& first = posted_[0];
        for (int other = 1; other < ranks(); ++other) {
            THRESHER_CHECK(of(other).operation == first.operation && of(other).root == first.root,
                           "simulated rank {} is in {} (root {}), but rank 0 is in {} (root {})",
                           other, of(other).operation, of(other).root, first.operation, first.root);
        }
    }

    /// Until all ranks are here. Throws Released once any rank has failed.
    void wait() {
        std::unique_lock lock(mutex_);
        if (failed_) throw Released{};
        THRESHER_CHECK(finished_ == 0, "a simulated rank has finished while another waits for it");
        const auto generation = generation_;
        if (++waiting_ == ranks()) {
            waiting_ = 0;
            ++generation_;
            changed_.notify_all();
            return;
        }
        changed_.wait(lock, [&] { return generation_ != generation || failed_ || finished_ > 0; });
        if (generation_ != generation) return;
        if (failed_) throw Released{};
        fail<Error>("a simulated rank has finished while another waits for it");
    }

    void finish() {
        const std::lock_guard lock(mutex_);
        ++finished_;
        changed_.notify_all();
    }

    void break_off(const std::exception_ptr& exception) {
        const std::lock_guard lock(mutex_);
        if (!failed_) exception_ = exception;
        failed_ = true;
        changed_.notify_all();
    }

    /// Throws Released once any rank has failed.
    void check_whole() {
        const std::lock_guard lock(mutex_);
        if (failed_) throw Released{};
    }

    /// Failures that ranks have announced so far.
    std::atomic<std::int64_t>& failures() { return failures_; }

    void rethrow() const {
        if (exception_) std::rethrow_exception(exception_);
    }

  private:
    std::vector<Posted> posted_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::uint64_t generation_ = 0;
    int waiting_ = 0, finished_ = 0;
    bool failed_ = false;
    std::atomic<std::int64_t> failures_{0};
    std::exception_ptr exception_;
};

class ThreadCollective final : public Collective {
  public:
    ThreadCollective(Board& board, int rank) : board_(board), rank_(rank) {}

    int rank() const override { return rank_; }
    int size() const override { return board_.ranks(); }
    std::string_view backend() const override { return "threads"; }

  private:
    template <class T, class Combine>
    void reduce(std::string_view operation, std::span<T> values, const Combine& combine) {
        board_.post(rank_, {operation, values.data(), values.size()});
        check_equal_lengths(operation);
        const T* first = static_cast<const T*>(board_.of(0).data);
        std::vector<T> result(first, first + values.size());
        for (int rank = 1; rank < size(); ++rank) {
            const T* other = static_cast<const T*>(board_.of(rank).data);
            for (std::size_t i = 0; i < result.size(); ++i)
                result[i] = combine(result[i], other[i]);
        }
        board_.wait();
        std::copy(result.begin(), result.end(), values.begin());
    }

    void check_equal_lengths(std::string_view operation) const {
        for (int rank = 1; rank < size(); ++rank) {
            THRESHER_CHECK(board_.of(rank).size == board_.of(0).size,
                           "{}: simulated rank {} passes a length of {}, rank 0 one of {}",
                           operation, rank, board_.of(rank).size, board_.of(0).size);
        }
    }

    template <class T>
    static T add(T a, T b) {
        return a + b;
    }
    template <class T>
    static T smaller(T a, T b) {
        return std::min(a, b);
    }
    template <class T>
    static T larger(T a, T b) {
        return std::max(a, b);
    }

    void do_sum(std::span<std::int64_t> values) override {
        reduce("sum of int64", values, add<std::int64_t>);
    }
    void do_sum(std::span<double> values) override {
        reduce("sum of float64", values, add<double>);
    }
    void do_sum(std::span<float> values) override { reduce("sum of float32", values, add<float>); }
    void do_min(std::span<std::int64_t> values) override {
        reduce("min", values, smaller<std::int64_t>);
    }
    void do_max(std::span<std::int64_t> values) override {
        reduce("max", values, larger<std::int64_t>);
    }

    void do_broadcast(std::span<std::byte> bytes, int root) override {
        board_.post(rank_, {"broadcast", bytes.data(), bytes.size(), nullptr, root});
        check_equal_lengths("broadcast");
        const auto* source = static_cast<const std::byte*>(board_.of(root).data);
        if (rank_ != root) std::copy_n(source, bytes.size(), bytes.begin());
        board_.wait();
    }

    Gathered<std::byte> do_gather(std::span<const std::byte> bytes, int root) override {
        board_.post(rank_, {"gather", bytes.data(), bytes.size(), nullptr, root});
        return collect(rank_ == root);
    }

    Gathered<std::byte> do_all_gather(std::span<const std::byte> bytes) override {
        board_.post(rank_, {"all-gather", bytes.data(), bytes.size()});
        return collect(true);
    }

    Gathered<std::byte> collect(bool wanted) {
        Gathered<std::byte> result;
        for (int rank = 0; wanted && rank < size(); ++rank) {
            const Posted& posted = board_.of(rank);
            append(result, static_cast<const std::byte*>(posted.data), posted.size);
        }
        board_.wait();
        return result;
    }

    Gathered<std::byte> do_all_to_all(std::span<const std::byte> bytes,
                                      std::span<const std::int64_t> counts) override {
        board_.post(rank_, {"all-to-all", bytes.data(), bytes.size(), counts.data()});
        Gathered<std::byte> result;
        for (int rank = 0; rank < size(); ++rank) {
            const Posted& posted = board_.of(rank);
            std::int64_t begin = 0;
            for (int to = 0; to < rank_; ++to) begin += posted.counts[to];
            append(result, static_cast<const std::byte*>(posted.data) + begin,
                   static_cast<std::size_t>(posted.counts[rank_]));
        }
        board_.wait();
        return result;
    }

    static void append(Gathered<std::byte>& result, const std::byte* data, std::size_t size) {
        if (size > 0) result.values.insert(result.values.end(), data, data + size);
        result.counts.push_back(static_cast<std::int64_t>(size));
    }

    void do_barrier() override {
        board_.post(rank_, {"barrier"});
        board_.wait();
    }

    void do_announce_failure() override { ++board_.failures(); }
    bool do_failure_announced() override {
        board_.check_whole();
        return board_.failures() > settled_failures_;
    }
    void do_settle_failures(std::span<const int> failed) override {
        settled_failures_ += std::ssize(failed);
    }

    Board& board_;
    int rank_;
    std::int64_t settled_failures_ = 0;
};

}  // namespace

void run_simulated_ranks(int ranks, const std::function<void(Collective&)>& body) {
    run_simulated_groups({ranks}, [&](Collective& all, Collective&) { body(all); });
}

void run_simulated_groups(const std::vector<int>& sizes,
                          const std::function<void(Collective& all, Collective& group)>& body) {
    int ranks = 0;
    for (const int size : sizes) {
        THRESHER_CHECK(size >= 1, "cannot simulate {} ranks", size);
        ranks += size;
    }
    Board all_board(ranks);
    std::deque<Board> boards;
    std::vector<std::thread> threads;
    const auto run = [&](Board& board, int rank, int rank_in_group) {
        try {
            ThreadCollective all(all_board, rank), group(board, rank_in_group);
            body(all, group);
            all_board.finish();
            board.finish();
        } catch (const Released&) {
        } catch (...) {
            all_board.break_off(std::current_exception());
            for (Board& other : boards) other.break_off(std::current_exception());
        }
    };
    for (const int size : sizes) boards.emplace_back(size);
    for (std::size_t group = 0; group < sizes.size(); ++group) {
        for (int rank = 0; rank < sizes[group]; ++rank) {
            threads.emplace_back(run, std::ref(boards[group]), static_cast<int>(threads.size()),
                                 rank);
        }
    }
    for (auto& thread : threads) thread.join();
    all_board.rethrow();
}

}  // namespace thresher
