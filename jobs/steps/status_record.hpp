#pragma once

// Keeps status.json of a run up to date: one more part, how far it has come, and how it ended.

#include <chrono>
#include <string>

#include "io/run/run_status.hpp"
#include "src/base/progress.hpp"

namespace thresher::jobs {

/// The root's. That it cannot write, on a full disk for example, is logged once and ends nothing.
class StatusRecord {
  public:
    /// Begins a part behind those that `path` holds already. Local.
    StatusRecord(std::string path, const std::string& command_line, int ranks);

    /// Writes at most every few seconds. Local.
    void update(const ProgressNow& now);

    /// The part has ended. `message` is empty where nothing went wrong. Local.
    void end(int exit_code, const std::string& message);

  private:
    void write();

    using Clock = std::chrono::steady_clock;
    std::string path_;
    io::RunStatus status_;
    Clock::time_point next_;
    bool complained_ = false;
};

}  // namespace thresher::jobs
