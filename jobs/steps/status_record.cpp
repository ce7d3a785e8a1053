#include "jobs/steps/status_record.hpp"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <utility>

#include "io/provenance.hpp"
#include "src/base/check.hpp"
#include "src/base/host_name.hpp"
#include "src/base/log.hpp"

namespace thresher::jobs {

namespace {

constexpr std::chrono::seconds kInterval{5};

}  // namespace

StatusRecord::StatusRecord(std::string path, const std::string& command_line, int ranks)
    : path_(std::move(path)), next_(Clock::now()) {
    try {
        if (std::filesystem::exists(path_)) status_ = io::read_run_status(path_);
    } catch (const Error& error) {
        log::warn("{}; a new one is begun", error.what());
    }
    const char* slurm_job = std::getenv("SLURM_JOB_ID");
    io::RunPart part;
    part.command_line = command_line;
    part.host = host_name();
    part.slurm_job = slurm_job == nullptr ? "" : slurm_job;
    part.process = getpid();
    part.ranks = ranks;
    part.started_utc = io::utc_now();
    status_.parts.push_back(std::move(part));
    write();
}

void StatusRecord::update(const ProgressNow& now) {
    status_.progress = {std::string(now.title),
                        std::string(now.unit),
                        std::string(now.note),
                        now.done,
                        now.total,
                        now.rate,
                        io::utc_now(),
                        std::ssize(status_.parts)};
    if (Clock::now() < next_) return;
    next_ = Clock::now() + kInterval;
    write();
}

void StatusRecord::end(int exit_code, const std::string& message) {
    io::RunPart& part = status_.parts.back();
    part.ended_utc = io::utc_now();
    part.exit_code = exit_code;
    part.message = message;
    write();
}

void StatusRecord::write() {
    try {
        io::write_run_status(path_, status_);
    } catch (const Error& error) {
        if (!std::exchange(complained_, true)) log::warn("{}", error.what());
    }
}

}  // namespace thresher::jobs
