#include "jobs/job.hpp"

#include <fmt/ranges.h>
#include <sched.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <map>
#include <sstream>
#include <thread>

#include "io/checksum.hpp"
#include "io/hdf5/parallel_file.hpp"
#include "jobs/options/numbers.hpp"
#include "jobs/options/toml.hpp"
#include "jobs/steps/status_record.hpp"
#include "jobs/verbs.hpp"
#include "mpi/collective.hpp"
#include "mpi/cuda_backend.hpp"
#include "mpi/messages.hpp"
#include "src/base/agreement.hpp"
#include "src/base/check.hpp"
#include "src/base/freed_memory.hpp"
#include "src/base/log.hpp"
#include "src/base/text.hpp"
#include "src/base/thread_team.hpp"
#include "src/models/model.hpp"

namespace thresher::jobs {

namespace {

void add_common_options(CLI::App& app, CommonOptions& common) {
    const std::string group = "Common to all verbs";
    app.add_option("--seed", common.seed, "Seed of everything random")->group(group);
    app.add_option(
           "--threads", common.threads,
           "Threads of each rank; 0 = its share of the node's cores, of those it may run on")
        ->check(zero_or_more())
        ->group(group);
    app.add_option("--device", common.device, "auto, cpu, cuda or cuda:N")->group(group);
    app.add_option("--collective", common.collective, "How ranks talk: auto, mpi or nccl")
        ->group(group);
    app.add_option("--collective-timeout", common.collective_timeout_s,
                   "Seconds after which a hanging collective ends the job, and ten times as long a "
                   "wait for another rank's work; 0 = never")
        ->check(zero_or_more())
        ->group(group);
    app.add_option("--max-bad", common.max_bad,
                   "Rows that may be quarantined: a count, or a share such as 1%")
        ->group(group);
    app.add_option("--progress", common.progress, "auto, bar, plain or none")->group(group);
    app.add_option("--log-level", common.log_level, "trace, debug, info, warning, error or off")
        ->group(group);
    app.add_flag("--log-all-ranks", common.log_all_ranks, "Let every rank log, not rank 0 alone")
        ->group(group);
    app.add_flag("--overwrite", common.overwrite, "Replace an output that exists")->group(group);
    app.add_flag("--json", common.json, "End with one JSON line on stdout and no other results")
        ->group(group);
}

bool given(const std::vector<std::string>& arguments, const CLI::Option& option) {
    for (const std::string& argument : arguments) {
        for (const std::string& name : option.get_lnames()) {
            if (argument == "--" + name || argument.rfind("--" + name + "=", 0) == 0) return true;
        }
        for (const std::string& name : option.get_snames()) {
            if (argument.rfind("-" + name, 0) == 0 && argument.rfind("--", 0) != 0) return true;
        }
    }
    return false;
}

/// An option that --print-config shows with no value: an empty text or list.
bool says_nothing(const CLI::ConfigItem& item) {
    if (item.inputs.empty()) return true;
    return item.inputs.size() == 1 && (item.inputs[0].empty() || item.inputs[0] == "[]");
}

/// Cores that this process may run on: mpirun and srun may bind a rank to a few.
int allowed_cores() {
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) return CPU_COUNT(&allowed);
    return static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
}

/// Threads for each rank: what was asked for, else the node's cores over the ranks on it, and no
/// more than it may use.
int choose_threads(int asked, const mpi::Communicator* world) {
    if (asked > 0) return asked;
    const int on_node = world == nullptr ? 1 : world->split_node_local().size();
    const int cores = static_cast<int>(std::thread::hardware_concurrency());
    return std::max(1, std::min(cores / on_node, allowed_cores()));
}

int cuda_index(const std::string& device) {
    return device.rfind("cuda:", 0) == 0 ? std::stoi(device.substr(5)) : -1;
}

}  // namespace

Job::Job(const Verb& verb, std::vector<std::string> arguments, const mpi::Communicator* world)
    : verb_(verb),
      arguments_(std::move(arguments)),
      world_(world),
      app_(std::string(verb.summary), "thresher " + std::string(verb.name)),
      start_(std::chrono::steady_clock::now()) {
    collective_ =
        world == nullptr ? make_local_collective() : mpi::make_mpi_collective(world->duplicate());
    app_.footer(fmt::format("\nExample (after bash jobs/quickstart.sh):\n  {}", verb.example));
    app_.option_defaults()->always_capture_default();
    app_.get_formatter()->column_width(34);
    add_common_options(app_, common_);
}

Job::~Job() {
    if (watchdog_) collective_->observe(nullptr);
}

/// The arguments with those of the --config file before them, except what the command line gives
/// itself. The root reads the file; the others have its text.
std::vector<std::string> Job::with_config(std::vector<std::string> arguments) {
    std::string path;
    for (std::size_t i = 0; i < arguments.size(); ++i) {
        if (arguments[i] == "--config" && i + 1 < arguments.size()) path = arguments[i + 1];
        if (arguments[i].rfind("--config=", 0) == 0) path = arguments[i].substr(9);
    }
    if (path.empty()) return arguments;
    std::string text;
    agree(*collective_, [&] {
        if (is_root()) text = io::read_file(path);
    });
    text = broadcast_text(*collective_, text);
    std::istringstream stream(text);
    std::vector<std::string> merged;
    std::vector<std::string> unknown;
    for (const CLI::ConfigItem& item : CLI::ConfigTOML().from_config(stream)) {
        if (item.name == "++" || item.name == "--") continue;  // section marks
        const CLI::Option* option = app_.get_option_no_throw("--" + item.name);
        if (option == nullptr || !item.parents.empty() || item.name == "config") {
            unknown.push_back(item.fullname());
        } else if (!given(arguments, *option) && !says_nothing(item)) {
            for (const std::string& value : item.inputs)
                merged.push_back(fmt::format("--{}={}", item.name, value));
        }
    }
    if (!unknown.empty()) {
        fail<UsageError>(
            "{}: no option of \"thresher {}\" is called {}; thresher {} --help lists them", path,
            verb_.name, fmt::join(unknown, ", "), verb_.name);
    }
    merged.insert(merged.end(), arguments.begin(), arguments.end());
    return merged;
}

int Job::run() {
    const auto end = [&](int exit_code, const std::string& message) {
        if (status_) status_->end(exit_code, message);
        return exit_code;
    };
    try {
        const int exit_code = verb_.run(*this);
        return end(exit_code, waits_for_);
    } catch (const Error& error) {
        end(static_cast<int>(error.exit_code()), error.what());
        throw;
    } catch (const std::exception& error) {
        end(static_cast<int>(ExitCode::failure), error.what());
        throw;
    }
}

void Job::start(std::vector<std::string> arguments) {
    std::string config_file;
    bool print_config = false;
    app_.add_option("--config", config_file,
                    "Read options from this TOML file; the command line wins")
        ->configurable(false)
        ->group("Common to all verbs");
    app_.add_flag("--print-config", print_config, "Print all options as TOML and end")
        ->configurable(false)
        ->group("Common to all verbs");
    try {
        arguments = with_config(std::move(arguments));
        std::reverse(arguments.begin(), arguments.end());
        app_.parse(arguments);
    } catch (const CLI::Success&) {
        if (is_root()) std::fputs(app_.help().c_str(), stdout);
        throw NothingToDo{};
    } catch (const CLI::ParseError& error) {
        fail<UsageError>("{}; thresher {} --help lists the options", error.what(), verb_.name);
    }
    config_text_ = options_as_toml(app_, false);
    if (print_config) {
        if (is_root()) std::fputs(options_as_toml(app_, true).c_str(), stdout);
        throw NothingToDo{};
    }
    static_cast<void>(max_bad());
    static_cast<void>(progress_style(common_.progress));
    start_log(common_.log_level, collective_->rank(), common_.log_all_ranks);

    const int threads = choose_threads(common_.threads, world_);
    use_threads(threads);
    use_model_threads(threads);
    if (verb_.runs_models) keep_freed_memory();
    // LibTorch asks once whether it has CUDA, and has it only when that part is loaded.
    const std::string& device = common_.device;
    if (device != "cpu" && (device != "auto" || verb_.runs_models)) {
        static_cast<void>(mpi::cuda_backend_available());
    }
    if (world_ != nullptr) place_on_node_ = world_->split_node_local().rank();
    agree(*collective_, [&] { device_ = device_named(common_.device); });
    if (world_ != nullptr) {
        collective_ =
            mpi::make_collective(common_.collective, world_->duplicate(), cuda_index(device_));
        if (common_.collective_timeout_s > 0 && collective_->size() > 1) {
            watchdog_ =
                std::make_unique<mpi::Watchdog>(collective_->rank(), common_.collective_timeout_s);
            collective_->observe(watchdog_.get());
        }
    } else if (common_.collective != "auto" && common_.collective != "mpi") {
        fail<UsageError>("--collective {} needs ranks, but the program was started without mpirun",
                         common_.collective);
    }
    log::debug("{} rank{} ({}), {} thread{} each, device {}", collective_->size(),
               collective_->size() == 1 ? "" : "s", collective_->backend(), threads,
               threads == 1 ? "" : "s", device_);
}

bool Job::was_given(const std::string& option) const {
    const CLI::Option* known = app_.get_option_no_throw(option);
    THRESHER_CHECK(known != nullptr, "there is no option {}", option);
    return given(arguments_, *known);
}

std::string Job::device_named(const std::string& name) const {
    const std::string device = choose_device(name);
    // "cuda" is the GPU with this rank's place on its node.
    return device == "cuda" ? fmt::format("cuda:{}", place_on_node_) : device;
}

std::unique_ptr<Collective> Job::split(int group, const std::string& device) const {
    if (world_ == nullptr) return make_local_collective();
    auto collective = mpi::make_collective(common_.collective, world_->split(group, world_->rank()),
                                           cuda_index(device));
    collective->observe(watchdog_.get());
    return collective;
}

std::unique_ptr<Messages> Job::messages(std::int64_t most_unsent) const {
    THRESHER_CHECK_AS(
        UsageError, world_ != nullptr,
        "ranks that send messages need mpirun, which the program was started without");
    return mpi::make_mpi_messages(world_->duplicate(), most_unsent);
}

void Job::log_to(const io::RunDirectory& run) {
    agree(*collective_, [&] {
        if (!is_root()) return;
        start_log(common_.log_level, 0, common_.log_all_ranks, run.log_file());
        status_ =
            std::make_unique<StatusRecord>(run.status_file(), command_line(), collective_->size());
    });
}

void Job::check_output(const std::string& output, const std::string& option) {
    check_not_read(output, option);
    agree(*collective_, [&] {
        if (is_root()) io::check_place(output, overwrite());
    });
}

void Job::check_not_read(const std::string& output, const std::string& option) {
    agree(*collective_, [&] {
        if (!is_root()) return;
        for (const CLI::Option* other : std::as_const(app_).get_options()) {
            if (other->check_name(option)) continue;
            for (const std::string& value : other->results()) {
                std::error_code none;
                THRESHER_CHECK_AS(UsageError, !std::filesystem::equivalent(value, output, none),
                                  "{} is what the job reads ({}); write the output elsewhere",
                                  output, other->get_name());
            }
        }
    });
}

io::SharedFileOpener Job::shared_files() const {
    if (world_ == nullptr) return {};
    return [this](const std::string& path) { return io::hdf5::open_parallel(path, world_->raw()); };
}

std::string Job::command_line() const {
    return fmt::format("thresher {} {}", verb_.name, fmt::join(arguments_, " "));
}

io::Provenance Job::provenance(const std::string& input) {
    io::Provenance provenance;
    provenance.command_line = command_line();
    provenance.config = config_text_;
    provenance.seed = common_.seed;
    provenance.mpi_ranks = collective_->size();
    if (is_root() && !inputs_checksums_.contains(input)) {
        inputs_checksums_[input] = io::inputs_checksum(input);
    }
    provenance.inputs_checksum = is_root() ? inputs_checksums_[input] : "";
    return provenance;
}

std::unique_ptr<Progress> Job::progress(const std::string& title, std::int64_t total,
                                        const std::string& unit) const {
    std::function<void(const ProgressNow&)> listener;
    if (status_) listener = [this](const ProgressNow& now) { status_->update(now); };
    return std::make_unique<Progress>(title, total, unit, progress_style(common_.progress),
                                      is_root(), std::move(listener));
}

std::string Job::of_this_rank(const std::string& title) const {
    return collective_->size() == 1 ? title
                                    : fmt::format("{}, rank 0 of {}", title, collective_->size());
}

void Job::print(const std::string& line) const {
    if (!is_root() || common_.json) return;
    std::fputs((line + "\n").c_str(), stdout);
    std::fflush(stdout);
}

void Job::finish(nlohmann::json facts) {
    if (!is_root() || !common_.json) return;
    nlohmann::json line;
    line["verb"] = std::string(verb_.name);
    line["ranks"] = collective_->size();
    line["seconds"] = nlohmann::json::object();
    for (const auto& [name, seconds] : phases_.seconds()) line["seconds"][name] = seconds;
    line["seconds"]["total"] =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
    line["collectives"] = collective_->traffic().collectives;
    line["collective_bytes"] = collective_->traffic().bytes;
    line.update(facts);
    std::fputs((line.dump() + "\n").c_str(), stdout);
}

std::map<std::string, double> sum_flops(Collective& collective, std::map<std::string, double> own) {
    for (auto& [role, flops] : own) collective.all_reduce_sum(std::span(&flops, 1));
    return own;
}

void log_quarantine(const std::vector<QuarantinedRow>& rows) {
    std::map<std::string, std::vector<std::int64_t>> by_reason;
    for (const QuarantinedRow& row : rows) by_reason[row.reason].push_back(row.id);
    for (auto& [reason, ids] : by_reason) {
        const std::size_t count = ids.size();
        ids.resize(std::min<std::size_t>(count, 5));
        log::warn("quarantined {} row{}: {} (ids {}{})", count, count == 1 ? "" : "s", reason,
                  fmt::join(ids, ", "), count > ids.size() ? ", ..." : "");
    }
}

}  // namespace thresher::jobs
