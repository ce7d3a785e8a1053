#pragma once

// One run of one verb: its options, the ranks it runs on, where its time goes and what it reports.
// A verb adds its own options, calls start(), and then has everything else at hand.

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "io/atomic_file.hpp"
#include "io/predictions/shared_file.hpp"
#include "io/provenance.hpp"
#include "io/run/run_directory.hpp"
#include "mpi/communicator.hpp"
#include "mpi/watchdog.hpp"
#include "src/base/collective.hpp"
#include "src/base/messages.hpp"
#include "src/base/phases.hpp"
#include "src/base/progress.hpp"
#include "src/pool/quarantine.hpp"

namespace thresher::jobs {

class StatusRecord;
struct Verb;

/// Options that every verb has.
struct CommonOptions {
    std::uint64_t seed = 0;
    int threads = 0;
    std::string device = "auto", collective = "auto", progress = "auto", log_level = "info";
    std::string max_bad = "1%";
    double collective_timeout_s = 1800.0;
    bool json = false, overwrite = false, log_all_ranks = false;
};

/// Thrown by start() where --help or --print-config has said all there is to say.
struct NothingToDo {};

class Job {
  public:
    /// `arguments` are those behind the verb. `world` is null where the program was started without
    /// a launcher.
    Job(const Verb& verb, std::vector<std::string> arguments, const mpi::Communicator* world);
    ~Job();
    Job(const Job&) = delete;
    Job& operator=(const Job&) = delete;

    /// The verb's options are added here before start().
    CLI::App& options() { return app_; }

    /// Runs the verb and returns its exit code; throws what it throws. Collective.
    int run();

    /// Reads the command line and, from rank 0, the --config file; starts log, threads, device and
    /// collective. Throws UsageError, the same on every rank, or NothingToDo. Collective.
    void start() { start(arguments_); }
    /// As if `arguments` had been given.
    void start(std::vector<std::string> arguments);

    /// Lets rank 0 write its log lines to the run's log.txt as well, and how far it has come and
    /// how it ended to its status.json. Throws the same FileError on all ranks. Collective.
    void log_to(const io::RunDirectory& run);

    const CommonOptions& common() const { return common_; }
    /// Those behind the verb, as they were given.
    const std::vector<std::string>& arguments() const { return arguments_; }
    /// Whether the command line itself has this option, such as "--seed"; a --config file, which
    /// may say more than a verb needs, does not count. Throws Error where there is no such option.
    bool was_given(const std::string& option) const;
    Collective& collective() { return *collective_; }
    const std::string& device() const { return device_; }
    /// The device that an option other than --device names: auto, cpu, cuda or cuda:N. Throws
    /// UsageError. Local.
    std::string device_named(const std::string& name) const;

    /// The ranks that pass the same `group` (>= 0), in their order, on devices of their own;
    /// watched as all ranks are. The job must outlive it. Collective.
    std::unique_ptr<Collective> split(int group, const std::string& device) const;
    /// Messages between all ranks, of which `most_unsent` may be on their way to one. Collective.
    std::unique_ptr<Messages> messages(std::int64_t most_unsent) const;
    bool is_root() const { return collective_->is_root(); }
    io::Overwrite overwrite() const {
        return common_.overwrite ? io::Overwrite::yes : io::Overwrite::no;
    }
    BadLimit max_bad() const { return BadLimit::parse(common_.max_bad); }
    Phases& phases() { return phases_; }

    /// Refuses, on all ranks alike and before any work, an output that cannot be written, that
    /// exists without --overwrite, or that is not to be written by check_not_read(). Collective.
    void check_output(const std::string& output, const std::string& option = "--output");
    /// Refuses an output, named by `option`, that another option names too: what the job reads.
    /// Collective.
    void check_not_read(const std::string& output, const std::string& option = "--output");

    /// Opens a file for writing by all ranks; empty where there is one rank.
    io::SharedFileOpener shared_files() const;

    /// What a file made by this job says of its origin. `input` is what it was made from; its
    /// checksum is taken by the root, once. Local.
    io::Provenance provenance(const std::string& input);
    std::string config_text() const { return config_text_; }

    /// The title of a progress that counts the root's share alone.
    std::string of_this_rank(const std::string& title) const;
    std::unique_ptr<Progress> progress(const std::string& title, std::int64_t total,
                                       const std::string& unit) const;

    /// A line of results on stdout, from the root, unless --json asked for a JSON line alone.
    void print(const std::string& line) const;

    /// Ends the verb: with --json, one line on stdout with `facts`, seconds by phase, collectives
    /// and bytes. Traffic and phases are the root's. Local.
    void finish(nlohmann::json facts);

    /// Tells `thresher status` what the run, which ends well, needs before it can go on. Local.
    void waits_for(std::string what) { waits_for_ = std::move(what); }

  private:
    std::vector<std::string> with_config(std::vector<std::string> arguments);
    std::string command_line() const;

    const Verb& verb_;
    std::vector<std::string> arguments_;
    const mpi::Communicator* world_;
    CLI::App app_;
    CommonOptions common_;
    std::string config_text_, device_ = "cpu";
    int place_on_node_ = 0;  ///< among the ranks there
    std::unique_ptr<Collective> collective_;
    std::unique_ptr<mpi::Watchdog> watchdog_;
    std::map<std::string, std::string> inputs_checksums_;  ///< by path
    std::string waits_for_;
    std::unique_ptr<StatusRecord> status_;  ///< the root's, of a run
    Phases phases_;
    std::chrono::steady_clock::time_point start_;
};

/// Floating-point operations by role, summed over ranks; the same roles on all. Collective.
std::map<std::string, double> sum_flops(Collective& collective, std::map<std::string, double> own);

/// Writes `rows` as log lines: how many of each reason and the first ids. Local.
void log_quarantine(const std::vector<QuarantinedRow>& rows);

}  // namespace thresher::jobs
