#include "src/base/stop_flag.hpp"

#include <csignal>

#include <atomic>

#include "src/base/check.hpp"

namespace thresher {

namespace {

// Set in a signal handler, so they must not take a lock.
std::atomic<bool> stop{false};
std::atomic<bool> terminated{false};
static_assert(std::atomic<bool>::is_always_lock_free);

extern "C" void on_stop_signal(int signal) {
    stop.store(true);
    if (signal == SIGTERM && terminated.exchange(true)) {
        std::signal(SIGTERM, SIG_DFL);
        std::raise(SIGTERM);
    }
}

}  // namespace

void install_stop_signals() {
    for (int signal : {SIGTERM, SIGUSR1, SIGUSR2}) {
        struct sigaction action {};
        action.sa_handler = on_stop_signal;
        sigemptyset(&action.sa_mask);
        action.sa_flags = SA_RESTART;
        THRESHER_CHECK(sigaction(signal, &action, nullptr) == 0,
                       "cannot install a handler for signal {}", signal);
    }
}

bool stop_requested() { return stop.load(std::memory_order_relaxed); }

void request_stop() { stop.store(true); }

void clear_stop_request() {
    stop.store(false);
    terminated.store(false);
}

}  // namespace thresher
