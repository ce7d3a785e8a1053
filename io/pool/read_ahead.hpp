#pragma once

// Double buffering: while the caller works on one block, a thread reads the next. Used inside io.

#include <chrono>
#include <cstdint>
#include <functional>
#include <future>
#include <utility>

#include "src/pool/blocks.hpp"

namespace thresher::io {

/// Hands out the blocks [begin, end) one after another in `Buffer`s that `read` fills. An error of
/// the reading thread is thrown by the next() that would have handed the block out.
template <class Buffer>
class ReadAhead {
  public:
    using Read = std::function<void(std::int64_t block, Buffer& buffer)>;

    ReadAhead(RowRange blocks, Read read)
        : blocks_(blocks), next_(blocks.begin), read_(std::move(read)) {}
    ~ReadAhead() { wait(); }
    ReadAhead(const ReadAhead&) = delete;
    ReadAhead& operator=(const ReadAhead&) = delete;

    /// The next block, valid until the following call; null after the last.
    const Buffer* next() {
        if (!reading_.valid()) start();
        if (!reading_.valid()) return nullptr;
        const auto begin = Clock::now();
        reading_.get();
        seconds_waiting_ += std::chrono::duration<double>(Clock::now() - begin).count();
        std::swap(current_, ahead_);
        start();
        return &current_;
    }

    void rewind() {
        wait();
        reading_ = {};
        next_ = blocks_.begin;
    }

    double seconds_waiting() const { return seconds_waiting_; }

  private:
    using Clock = std::chrono::steady_clock;

    void start() {
        if (next_ >= blocks_.end) return;
        const std::int64_t block = next_++;
        reading_ = std::async(std::launch::async, [this, block] { read_(block, ahead_); });
    }

    void wait() {
        if (reading_.valid()) reading_.wait();
    }

    RowRange blocks_;
    std::int64_t next_;
    Read read_;
    Buffer current_, ahead_;
    std::future<void> reading_;
    double seconds_waiting_ = 0.0;
};

}  // namespace thresher::io
