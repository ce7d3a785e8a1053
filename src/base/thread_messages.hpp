#pragma once

// The body of Messages for simulated ranks: threads of one process.

#include <memory>
#include <vector>

#include "src/base/messages.hpp"

namespace thresher {

/// One for each of `ranks` simulated ranks, joined together; each is used by its own thread. They
/// may go in any order; what is sent to one that is gone is dropped.
std::vector<std::unique_ptr<Messages>> make_thread_messages(int ranks, std::int64_t most_unsent);

}  // namespace thresher
