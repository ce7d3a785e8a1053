#include "src/environments/record_workers.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "src/base/agreement.hpp"
#include "src/base/check.hpp"

namespace thresher {

namespace {

using Clock = std::chrono::steady_clock;

constexpr int kRoot = 0;
constexpr std::chrono::milliseconds kPatience{1};  ///< between looks at what else may have happened

/// What stands before the subsets of a batch, or before their metrics. A count of 0 ends the work.
struct Head {
    std::int64_t question = 0, first = 0, count = 0, size = 0;
    double seconds = 0.0;  ///< of the answer
};

template <class T>
SharedBytes pack(const Head& head, std::span<const T> values) {
    std::vector<std::byte> bytes(sizeof head + values.size_bytes());
    std::memcpy(bytes.data(), &head, sizeof head);
    if (!values.empty())
        std::memcpy(bytes.data() + sizeof head, values.data(), values.size_bytes());
    return std::make_shared<const std::vector<std::byte>>(std::move(bytes));
}

template <class T>
Head unpack(const Message& message, std::vector<T>& values) {
    Head head;
    THRESHER_CHECK(message.bytes.size() >= sizeof head &&
                       (message.bytes.size() - sizeof head) % sizeof(T) == 0,
                   "a message of rank {} is cut short", message.from);
    std::memcpy(&head, message.bytes.data(), sizeof head);
    values.resize((message.bytes.size() - sizeof head) / sizeof(T));
    if (!values.empty()) {
        std::memcpy(values.data(), message.bytes.data() + sizeof head, values.size() * sizeof(T));
    }
    return head;
}

double seconds_since(Clock::time_point begin) {
    return std::chrono::duration<double>(Clock::now() - begin).count();
}

}  // namespace

/// One call of evaluate().
struct RecordWorkers::Work {
    std::int64_t question, size, count;
    std::span<const std::int32_t> subsets;
    std::span<double> metrics;
    const Done& done;
    std::int64_t next = 0, finished = 0;

    void came(std::int64_t first, std::int64_t number, double seconds) {
        finished += number;
        if (done && !done(first, number, seconds / static_cast<double>(number))) count = next;
    }

    std::span<const std::int32_t> part(std::int64_t first, std::int64_t number) const {
        return subsets.subspan(static_cast<std::size_t>(first * size),
                               static_cast<std::size_t>(number * size));
    }
};

RecordWorkers::RecordWorkers(Evaluate evaluate, std::int64_t metrics_each, Messages* messages,
                             Collective& all)
    : evaluate_(std::move(evaluate)),
      metrics_each_(metrics_each),
      messages_(messages),
      all_(all),
      outstanding_(static_cast<std::size_t>(all.size()), 0) {
    THRESHER_CHECK(messages_ != nullptr || all.size() == 1,
                   "{} ranks cannot share work out without messages", all.size());
}

RecordWorkers::~RecordWorkers() {
    if (messages_ == nullptr || !all_.is_root()) return;
    for (int rank = 1; rank < all_.size(); ++rank) {
        try {
            messages_->send(rank, pack<std::int32_t>({}, {}));
        } catch (const Error&) {
            // It has failed, or been left with more than it took; the job is ending anyway.
        }
    }
}

bool RecordWorkers::evaluate(std::int64_t question, std::span<const std::int32_t> subsets,
                             std::int64_t size, std::span<double> metrics, const Done& done) {
    THRESHER_CHECK(size >= 1 && std::ssize(subsets) % size == 0 &&
                       std::ssize(metrics) == std::ssize(subsets) / size * metrics_each_,
                   "{} positions in subsets of {} with room for {} metrics, {} each, do not agree",
                   subsets.size(), size, metrics.size(), metrics_each_);
    const auto begin = Clock::now();
    Work work{question, size, std::ssize(subsets) / size, subsets, metrics, done};
    while (work.finished < work.count) {
        hand_out(work);
        if (take(work, {})) continue;
        if (work.next < work.count) {
            work_here(work);
        } else {
            give_up_if_others_failed(all_);
            take(work, kPatience);
        }
    }
    passed_s_ += seconds_since(begin);
    return std::ssize(metrics) == work.count * metrics_each_;
}

/// Subsets of the next batch: fewer towards the end, so that no rank has much left when others have
/// nothing.
std::int64_t RecordWorkers::next_batch(const Work& work) const {
    const std::int64_t left = work.count - work.next;
    return std::min(left, std::clamp(left / (4 * all_.size()), kLastBatch, kBatch));
}

void RecordWorkers::hand_out(Work& work) {
    for (int rank = 1; rank < all_.size(); ++rank) {
        std::int64_t& outstanding = outstanding_[static_cast<std::size_t>(rank)];
        // Of the last batches none waits at one rank while another is idle.
        const std::int64_t left = (work.count - work.next + kBatch - 1) / kBatch;
        const std::int64_t most = left >= all_.size() ? kOutstanding : 1;
        while (outstanding < most && work.next < work.count) {
            const std::int64_t count = next_batch(work);
            const Head head{work.question, work.next, count, work.size};
            messages_->send(rank, pack(head, work.part(work.next, count)));
            work.next += count;
            ++outstanding;
        }
    }
}

bool RecordWorkers::take(Work& work, std::chrono::microseconds patience) {
    if (messages_ == nullptr) return false;
    const auto message = messages_->receive(patience);
    if (!message) return false;
    std::vector<double> values;
    const Head head = unpack(*message, values);
    THRESHER_CHECK(std::ssize(values) == head.count * metrics_each_ && head.first >= 0 &&
                       head.first + head.count <= work.count,
                   "rank {} answered with {} metrics of records {} to {}, of {}", message->from,
                   values.size(), head.first, head.first + head.count, work.count);
    std::copy(values.begin(), values.end(), work.metrics.begin() + head.first * metrics_each_);
    --outstanding_[static_cast<std::size_t>(message->from)];
    busy_s_ += head.seconds;
    work.came(head.first, head.count, head.seconds);
    return true;
}

void RecordWorkers::work_here(Work& work) {
    const std::int64_t first = work.next, count = next_batch(work);
    work.next += count;
    const auto begin = Clock::now();
    evaluate_(work.question, work.part(first, count), work.size,
              work.metrics.subspan(static_cast<std::size_t>(first * metrics_each_),
                                   static_cast<std::size_t>(count * metrics_each_)));
    const double seconds = seconds_since(begin);
    busy_s_ += seconds;
    work.came(first, count, seconds);
}

void RecordWorkers::serve() {
    std::vector<std::int32_t> subsets;
    std::vector<double> metrics;
    while (true) {
        const auto message = messages_->receive(kPatience);
        if (!message) {
            give_up_if_others_failed(all_);
            continue;
        }
        Head head = unpack(*message, subsets);
        if (head.count == 0) return;
        THRESHER_CHECK(std::ssize(subsets) == head.count * head.size,
                       "rank {} asked for {} subsets of {} with {} positions", message->from,
                       head.count, head.size, subsets.size());
        metrics.resize(static_cast<std::size_t>(head.count * metrics_each_));
        const auto begin = Clock::now();
        evaluate_(head.question, subsets, head.size, metrics);
        head.seconds = seconds_since(begin);
        messages_->send(kRoot, pack<double>(head, metrics));
    }
}

double RecordWorkers::busy_share() const {
    return passed_s_ > 0.0 ? busy_s_ / (passed_s_ * static_cast<double>(all_.size())) : 0.0;
}

}  // namespace thresher
