#include "src/base/messages.hpp"

#include <limits>
#include <utility>

#include "src/base/check.hpp"

namespace thresher {

void Messages::send(int to, SharedBytes bytes) {
    constexpr std::int64_t kLargest = std::numeric_limits<std::int32_t>::max();
    THRESHER_CHECK(to >= 0 && to < size() && to != rank(),
                   "rank {} of {} sends a message to rank {}", rank(), size(), to);
    THRESHER_CHECK(std::ssize(*bytes) <= kLargest,
                   "a message of {} bytes; allowed: up to {}. What travels whole is the parameters "
                   "of the models that score, and with --ship-inputs the candidates: use smaller "
                   "ones",
                   bytes->size(), kLargest);
    THRESHER_CHECK(do_unsent(to) < most_unsent_,
                   "{} messages to rank {} are on their way and none more is allowed; this is an "
                   "error of the program",
                   most_unsent_, to);
    bytes_sent_ += std::ssize(*bytes);
    do_send(to, std::move(bytes));
}

std::optional<Message> Messages::receive(std::chrono::microseconds patience) {
    return do_receive(patience);
}

void Messages::close() { do_close(); }

}  // namespace thresher
