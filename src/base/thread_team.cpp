#include "src/base/thread_team.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "src/base/check.hpp"

namespace thresher {

namespace {

using Body = std::function<void(std::int64_t, std::int64_t)>;

thread_local bool inside_parallel_for = false;

/// One loop: its pieces, handed out by a counter, and the first exception.
class Loop {
  public:
    Loop(std::int64_t n, std::int64_t grain, const Body& body)
        : n_(n), grain_(grain), body_(body) {}

    std::int64_t pieces() const { return (n_ + grain_ - 1) / grain_; }

    /// Works on pieces until none is left.
    void work() {
        inside_parallel_for = true;
        try {
            for (std::int64_t piece; (piece = next_.fetch_add(1)) < pieces();) {
                const std::int64_t begin = piece * grain_;
                body_(begin, std::min(n_, begin + grain_));
            }
        } catch (...) {
            const std::lock_guard lock(mutex_);
            if (!exception_) exception_ = std::current_exception();
            next_.store(pieces());
        }
        inside_parallel_for = false;
    }

    /// After all threads left work().
    void rethrow() const {
        if (exception_) std::rethrow_exception(exception_);
    }

  private:
    const std::int64_t n_, grain_;
    const Body& body_;
    std::atomic<std::int64_t> next_{0};
    std::mutex mutex_;
    std::exception_ptr exception_;
};

/// Threads that wait for a loop to work on; the caller of run() is one more.
class Team {
  public:
    explicit Team(int workers) {
        for (int i = 0; i < workers; ++i) threads_.emplace_back([this] { serve(); });
    }
    ~Team() {
        {
            const std::lock_guard lock(mutex_);
            stopping_ = true;
        }
        begin_.notify_all();
        for (auto& thread : threads_) thread.join();
    }
    Team(const Team&) = delete;
    Team& operator=(const Team&) = delete;

    void run(Loop& loop) {
        {
            const std::lock_guard lock(mutex_);
            loop_ = &loop;
            ++generation_;
            working_ = threads_.size();
        }
        begin_.notify_all();
        loop.work();
        std::unique_lock lock(mutex_);
        end_.wait(lock, [this] { return working_ == 0; });
        loop_ = nullptr;
    }

  private:
    void serve() {
        std::uint64_t seen = 0;
        std::unique_lock lock(mutex_);
        while (true) {
            begin_.wait(lock, [&] { return stopping_ || generation_ != seen; });
            if (stopping_) return;
            seen = generation_;
            Loop* loop = loop_;
            lock.unlock();
            loop->work();
            lock.lock();
            if (--working_ == 0) end_.notify_one();
        }
    }

    std::mutex mutex_;
    std::condition_variable begin_, end_;
    Loop* loop_ = nullptr;
    std::uint64_t generation_ = 0;
    std::size_t working_ = 0;
    bool stopping_ = false;
    std::vector<std::thread> threads_;
};

std::mutex team_mutex;
std::unique_ptr<Team> team;
std::atomic<int> team_size{1};

}  // namespace

void use_threads(int threads) {
    THRESHER_CHECK(threads >= 1, "a rank cannot use {} threads; allowed: 1 and more", threads);
    const std::lock_guard lock(team_mutex);
    if (threads == team_size) return;
    team.reset();
    if (threads > 1) team = std::make_unique<Team>(threads - 1);
    team_size = threads;
}

int threads_in_use() { return team_size; }

void parallel_for(std::int64_t n, std::int64_t grain, const Body& body) {
    THRESHER_CHECK(n >= 0 && grain >= 1, "parallel_for over {} items in pieces of {}", n, grain);
    Loop loop(n, grain, body);
    // Where the team is busy, with this loop's caller or with another thread's, the caller works
    // alone.
    std::unique_lock lock(team_mutex, std::defer_lock);
    const bool nested = inside_parallel_for;
    if (loop.pieces() > 1 && !nested && team_size > 1 && lock.try_lock() && team) {
        team->run(loop);
    } else {
        if (lock.owns_lock()) lock.unlock();
        loop.work();
        inside_parallel_for = nested;
    }
    loop.rethrow();
}

}  // namespace thresher
