#pragma once

// status.json of a run directory: what the job is at, and how each of its parts (from one start to
// the next end) ended. It is there for whoever looks on, `thresher status` for one; no job reads it
// to go on.

#include <cstdint>
#include <string>
#include <vector>

namespace thresher::io {

/// From one start of the job to its end.
struct RunPart {
    static constexpr int kNotEnded = -1;

    std::string command_line, host, slurm_job;  ///< slurm_job is empty outside Slurm
    std::int64_t process = 0;                   ///< of rank 0
    int ranks = 1;
    std::string started_utc;
    std::string ended_utc;  ///< empty while it runs, and of a part that was killed
    int exit_code = kNotEnded;
    std::string message;  ///< the error that ended it, or what it waits for
};

/// How far the work has come that was last heard of.
struct RunProgress {
    std::string title, unit, note;  ///< an empty title: nothing was heard yet
    std::int64_t done = 0, total = 0;
    double rate = 0.0;  ///< units a second, since the part began
    std::string at_utc;
    std::int64_t part = 0;  ///< that it was heard from, counted from 1
};

struct RunStatus {
    std::vector<RunPart> parts;
    RunProgress progress;
};

/// Replaces `path`, atomically and without waiting for the disk. Throws FileError. Local.
void write_run_status(const std::string& path, const RunStatus& status);

/// Throws FileError where it is missing or damaged. Local.
RunStatus read_run_status(const std::string& path);

}  // namespace thresher::io
