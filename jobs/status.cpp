// thresher status: how a run stands, from its files alone.

#include <fmt/ranges.h>
#include <signal.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <filesystem>
#include <optional>
#include <sstream>
#include <thread>

#include "io/atomic_file.hpp"
#include "io/file_lock.hpp"
#include "io/provenance.hpp"
#include "io/run/run_status.hpp"
#include "jobs/job.hpp"
#include "jobs/verbs.hpp"
#include "src/base/agreement.hpp"
#include "src/base/check.hpp"
#include "src/base/host_name.hpp"

namespace thresher::jobs {

namespace {

namespace fs = std::filesystem;

/// A job writes its status every few seconds, but an evaluation or a checkpoint may take longer.
constexpr std::int64_t kSilence_s = 600;

/// Seconds since a time such as 2026-01-31T12:00:00Z.
std::int64_t seconds_since(const std::string& utc) {
    std::tm time{};
    if (strptime(utc.c_str(), "%Y-%m-%dT%H:%M:%SZ", &time) == nullptr) return 0;
    return std::max<std::int64_t>(0, std::time(nullptr) - timegm(&time));
}

std::string span_text(std::int64_t seconds) {
    if (seconds < 3600) return fmt::format("{}:{:02} min", seconds / 60, seconds % 60);
    return fmt::format("{}:{:02} h", seconds / 3600, seconds / 60 % 60);
}

/// done, waiting (for a person), requeued or failed; "" where it did not come to say.
std::string ending_of(const io::RunPart& part) {
    if (part.exit_code == static_cast<int>(ExitCode::requeue)) return "requeued";
    if (part.exit_code == io::RunPart::kNotEnded) return "";
    if (part.exit_code != 0) return "failed";
    return part.message.empty() ? "done" : "waiting";
}

/// Of the last part: how it ended, else running, killed or silent.
std::string state_of(const io::RunPart& part, const std::string& run, std::int64_t silent_s) {
    if (const std::string ending = ending_of(part); !ending.empty()) return ending;
    if (part.host == host_name()) {
        const bool gone = ::kill(static_cast<pid_t>(part.process), 0) != 0 && errno == ESRCH;
        // Another process may have its number by now, but not its lock.
        return gone || !io::is_locked(run + "/lock", true) ? "killed" : "running";
    }
    return silent_s < kSilence_s ? "running" : "silent";
}

/// The newest checkpoint that has its name, and when it was written.
struct NewestCheckpoint {
    std::string name;
    std::int64_t age_s = 0;
};

std::optional<NewestCheckpoint> newest_checkpoint(const std::string& run) {
    std::optional<NewestCheckpoint> newest;
    std::error_code none;
    for (const auto& entry : fs::directory_iterator(fs::path(run) / "checkpoints", none)) {
        const std::string name = entry.path().filename().string();
        if (name.find_first_not_of("0123456789") != std::string::npos) continue;
        // Names are numbers with leading zeros, so a longer one is newer.
        const auto order = [](const std::string& text) { return std::pair(text.size(), text); };
        if (newest && order(name) < order(newest->name)) continue;
        const auto age = fs::file_time_type::clock::now() - fs::last_write_time(entry, none);
        newest = {name, std::chrono::duration_cast<std::chrono::seconds>(age).count()};
    }
    return newest;
}

/// The last lines of the log that tell of errors, and how many there are.
std::pair<std::vector<std::string>, std::size_t> complaints(const std::string& run) {
    std::vector<std::string> lines;
    std::size_t count = 0;
    std::error_code none;
    if (!fs::exists(fs::path(run) / "log.txt", none)) return {};
    std::istringstream log(io::read_file(run + "/log.txt"));
    for (std::string line; std::getline(log, line);) {
        if (line.find(" error: ") == std::string::npos &&
            line.find(" warning: ") == std::string::npos) {
            continue;
        }
        ++count;
        lines.push_back(line);
        if (lines.size() > 3) lines.erase(lines.begin());
    }
    return {lines, count};
}

std::string described(const io::RunProgress& now) {
    if (now.title.empty()) return "nothing was heard of it yet";
    const double share =
        now.total > 0 ? 100.0 * static_cast<double>(now.done) / static_cast<double>(now.total)
                      : 100.0;
    std::string text =
        fmt::format("{}: {:.0f} % {}/{} {}", now.title, share, now.done, now.total, now.unit);
    if (now.rate > 0 && now.done < now.total) {
        text += fmt::format("  {:.3g} {}/s  {} left", now.rate, now.unit,
                            span_text(static_cast<std::int64_t>(
                                static_cast<double>(now.total - now.done) / now.rate)));
    }
    return now.note.empty() ? text : text + "  " + now.note;
}

std::string described(const io::RunPart& part, const std::string& state) {
    std::string text = fmt::format("{}, {} rank{}, process {} on {}", part.started_utc, part.ranks,
                                   part.ranks == 1 ? "" : "s", part.process, part.host);
    if (!part.slurm_job.empty()) text += ", Slurm job " + part.slurm_job;
    text += ": " + state;
    if (part.exit_code > 0) text += fmt::format(" (exit code {})", part.exit_code);
    return part.message.empty() ? text : text + ": " + part.message;
}

}  // namespace

int run_status(Job& job) {
    std::string run;
    job.options().add_option("--run,run", run, "Directory of the run")->required();
    job.start();
    nlohmann::json facts;
    agree(job.collective(), [&] {
        if (!job.is_root()) return;
        THRESHER_CHECK_AS(
            FileError, fs::exists(run + "/status.json"),
            "{}: no job has begun there (there is no status.json); give the directory "
            "that was its --run",
            run);
        const std::string path = run + "/status.json";
        io::RunStatus status = io::read_run_status(path);
        if (!status.parts.empty() && state_of(status.parts.back(), run, 0) == "killed") {
            // A run lets go of its lock just before it says how it ended.
            std::this_thread::sleep_for(std::chrono::milliseconds(500));
            status = io::read_run_status(path);
        }
        THRESHER_CHECK_AS(FileError, !status.parts.empty(), "{}: has no parts", path);
        const io::RunPart& last = status.parts.back();
        // What was heard before this part began is of an earlier one.
        const bool heard = status.progress.part == std::ssize(status.parts);
        const std::int64_t silent_s =
            seconds_since(heard ? status.progress.at_utc : last.started_utc);
        const std::string state = state_of(last, run, silent_s);
        job.print(fmt::format("command     {}", last.command_line));
        job.print(fmt::format("state       {}", state) +
                  (state == "running" || state == "silent"
                       ? fmt::format(", last heard of {} ago", span_text(silent_s))
                       : ""));
        job.print("progress    " + described(status.progress));
        const auto checkpoint = newest_checkpoint(run);
        job.print("checkpoint  " + (checkpoint ? fmt::format("{}, written {} ago", checkpoint->name,
                                                             span_text(checkpoint->age_s))
                                               : std::string("none yet")));
        const auto requeues =
            std::count_if(status.parts.begin(), status.parts.end(), [](const io::RunPart& part) {
                return part.exit_code == static_cast<int>(ExitCode::requeue);
            });
        job.print(fmt::format("parts       {}, of which {} asked to be requeued",
                              status.parts.size(), requeues));
        for (const io::RunPart& part : status.parts) {
            const std::string ending = &part == &last ? state : ending_of(part);
            job.print("  " + described(part, ending.empty() ? "killed" : ending));
        }
        const auto [lines, count] = complaints(run);
        if (count > 0)
            job.print(fmt::format("log.txt     {} errors and warnings, the last:", count));
        for (const std::string& line : lines) job.print("  " + line);
        facts = {{"state", state},
                 {"exit_code", last.exit_code},
                 {"message", last.message},
                 {"parts", status.parts.size()},
                 {"requeues", requeues},
                 {"title", status.progress.title},
                 {"done", status.progress.done},
                 {"total", status.progress.total},
                 {"unit", status.progress.unit},
                 {"rate", status.progress.rate},
                 {"silent_s", silent_s},
                 {"complaints", count}};
        if (checkpoint) {
            facts["checkpoint"] = checkpoint->name;
            facts["checkpoint_age_s"] = checkpoint->age_s;
        }
    });
    job.finish(facts);
    return 0;
}

}  // namespace thresher::jobs
