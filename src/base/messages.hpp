#pragma once

// Messages from one rank to another, for work in which ranks do different things at their own pace.
// Nothing here waits for the receiver: send() hands a message over, receive() looks for one. Two
// bodies: simulated ranks in threads, and MPI. What the ranks do together goes through Collective.
//
// Messages between two ranks arrive in the order in which they were sent. A queue cannot grow
// without bound: more messages than agreed on that one rank has not taken yet are an error of
// whoever sends them.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace thresher {

/// As it arrived.
struct Message {
    int from = -1;
    std::vector<std::byte> bytes;
};

/// What is sent; shared where several ranks get the same.
using SharedBytes = std::shared_ptr<const std::vector<std::byte>>;

class Messages {
  public:
    virtual ~Messages() = default;
    Messages(const Messages&) = delete;
    Messages& operator=(const Messages&) = delete;

    virtual int rank() const = 0;
    virtual int size() const = 0;

    /// Hands a message over without waiting. Throws Error where it has more than 2^31 - 1 bytes, or
    /// where most_unsent() messages to that rank are on their way already. Local.
    void send(int to, SharedBytes bytes);

    /// The next message from any rank, if one comes within `patience`. Local.
    std::optional<Message> receive(std::chrono::microseconds patience = {});

    /// Waits until all that was sent has left, and drops what arrives here meanwhile. Collective.
    void close();

    std::int64_t most_unsent() const { return most_unsent_; }
    std::int64_t bytes_sent() const { return bytes_sent_; }

  protected:
    /// `most_unsent` messages may be on their way to one rank.
    explicit Messages(std::int64_t most_unsent) : most_unsent_(most_unsent) {}

  private:
    virtual void do_send(int to, SharedBytes bytes) = 0;
    virtual std::int64_t do_unsent(int to) = 0;
    virtual std::optional<Message> do_receive(std::chrono::microseconds patience) = 0;
    virtual void do_close() = 0;

    std::int64_t most_unsent_;
    std::int64_t bytes_sent_ = 0;
};

}  // namespace thresher
