#include "mpi/watchdog.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <utility>

#include "mpi/environment.hpp"
#include "src/base/check.hpp"
#include "src/base/host_name.hpp"

namespace thresher::mpi {

Watchdog::Watchdog(int rank, double timeout_s, Handler on_overdue)
    : rank_(rank), timeout_s_(timeout_s), on_overdue_(std::move(on_overdue)) {
    THRESHER_CHECK(timeout_s > 0.0, "a watchdog of {} s; allowed: more than 0", timeout_s);
    thread_ = std::thread([this] { watch(); });
}

Watchdog::~Watchdog() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    wake_.notify_all();
    thread_.join();
}

void Watchdog::begin(std::string_view operation, double patience) {
    patience_ = patience;
    name_ = operation.data();
    name_length_ = operation.size();
    ++ticks_;
}

void Watchdog::end() { ++ticks_; }

void Watchdog::watch() {
    using Clock = std::chrono::steady_clock;
    const std::chrono::duration<double> interval(std::min(timeout_s_ / 10.0, 1.0));
    std::int64_t seen = 0;
    auto since = Clock::now();
    std::unique_lock lock(mutex_);
    while (!wake_.wait_for(lock, interval, [this] { return stopping_; })) {
        const std::int64_t ticks = ticks_;
        const auto now = Clock::now();
        if (ticks != seen) {
            seen = ticks;
            since = now;
        }
        const double waited_s = std::chrono::duration<double>(now - since).count();
        const double limit_s = timeout_s_ * patience_;
        if (ticks % 2 == 0 || waited_s < limit_s) continue;
        const std::string_view operation(name_, name_length_);
        if (ticks_ != ticks) continue;
        lock.unlock();
        on_overdue_(report(operation, ticks / 2, waited_s, limit_s));
        return;
    }
}

std::string Watchdog::report(std::string_view operation, std::int64_t done, double waited_s,
                             double limit_s) const {
    return fmt::format(
        "thresher: a collective operation hangs\n"
        "  rank         {} on {}\n"
        "  operation    {}\n"
        "  waiting      {:.6g} s, the limit is {:.6g} s\n"
        "  done before  {}\n"
        "  Another rank has died, is still busy, or is in another operation: compare the blocks of "
        "the\n"
        "  other ranks, and look in the log for the last line of a rank that printed none.\n",
        rank_, host_name(), operation, std::round(10.0 * waited_s) / 10.0, limit_s, done);
}

void Watchdog::print_and_abort(const std::string& report) {
    std::fputs(report.c_str(), stderr);
    std::fflush(stderr);
    abort(ExitCode::failure);
}

}  // namespace thresher::mpi
