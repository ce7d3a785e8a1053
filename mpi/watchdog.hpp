#pragma once

// Watches a Collective. Where one operation takes longer than allowed, it says which, on which rank
// and host, and ends the job, so that a hang costs minutes and leaves a trace instead of a whole
// allocation.

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "src/base/collective.hpp"

namespace thresher::mpi {

class Watchdog final : public CollectiveObserver {
  public:
    using Handler = std::function<void(const std::string& report)>;

    /// An operation is overdue after `timeout_s` seconds times its patience (checked ten times in
    /// that span, and at least once a second). `on_overdue` is called once, from the watchdog's
    /// thread.
    Watchdog(int rank, double timeout_s, Handler on_overdue = print_and_abort);
    ~Watchdog() override;

    /// A few atomic stores, no lock and no clock. `operation` must outlive the operation, as a
    /// literal does.
    void begin(std::string_view operation, double patience) override;
    void end() override;

    /// The default handler: the report goes to stderr, then the job is aborted with exit code 1.
    static void print_and_abort(const std::string& report);

  private:
    void watch();
    std::string report(std::string_view operation, std::int64_t done, double waited_s,
                       double limit_s) const;

    const int rank_;
    const double timeout_s_;
    const Handler on_overdue_;

    // Odd while an operation runs; half of it is the number of operations done. Name and patience
    // are written only while it is even.
    std::atomic<std::int64_t> ticks_{0};
    std::atomic<const char*> name_{nullptr};
    std::atomic<std::size_t> name_length_{0};
    std::atomic<double> patience_{1.0};

    std::mutex mutex_;
    std::condition_variable wake_;
    bool stopping_ = false;
    std::thread thread_;
};

}  // namespace thresher::mpi
