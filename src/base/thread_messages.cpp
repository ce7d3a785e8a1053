#include "src/base/thread_messages.hpp"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <utility>

namespace thresher {

namespace {

/// What has been sent to one rank and not been taken.
struct Inbox {
    std::mutex mutex;
    std::condition_variable changed;
    std::deque<std::pair<int, SharedBytes>> waiting;
};

class ThreadMessages final : public Messages {
  public:
    ThreadMessages(std::shared_ptr<std::vector<Inbox>> inboxes, int rank, std::int64_t most_unsent)
        : Messages(most_unsent), inboxes_(std::move(inboxes)), rank_(rank) {}

    int rank() const override { return rank_; }
    int size() const override { return static_cast<int>(inboxes_->size()); }

  private:
    Inbox& inbox(int rank) { return (*inboxes_)[static_cast<std::size_t>(rank)]; }

    void do_send(int to, SharedBytes bytes) override {
        const std::lock_guard lock(inbox(to).mutex);
        inbox(to).waiting.emplace_back(rank_, std::move(bytes));
        inbox(to).changed.notify_one();
    }

    std::int64_t do_unsent(int to) override {
        const std::lock_guard lock(inbox(to).mutex);
        const auto& waiting = inbox(to).waiting;
        return std::count_if(waiting.begin(), waiting.end(),
                             [&](const auto& message) { return message.first == rank_; });
    }

    std::optional<Message> do_receive(std::chrono::microseconds patience) override {
        Inbox& own = inbox(rank_);
        std::unique_lock lock(own.mutex);
        if (!own.changed.wait_for(lock, patience, [&] { return !own.waiting.empty(); })) return {};
        auto [from, bytes] = std::move(own.waiting.front());
        own.waiting.pop_front();
        return Message{from, *bytes};
    }

    void do_close() override {}

    std::shared_ptr<std::vector<Inbox>> inboxes_;
    int rank_;
};

}  // namespace

std::vector<std::unique_ptr<Messages>> make_thread_messages(int ranks, std::int64_t most_unsent) {
    const auto inboxes = std::make_shared<std::vector<Inbox>>(static_cast<std::size_t>(ranks));
    std::vector<std::unique_ptr<Messages>> result;
    for (int rank = 0; rank < ranks; ++rank) {
        result.push_back(std::make_unique<ThreadMessages>(inboxes, rank, most_unsent));
    }
    return result;
}

}  // namespace thresher
