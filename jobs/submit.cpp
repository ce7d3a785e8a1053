// thresher submit: a Slurm job for any other verb.

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <map>
#include <sstream>
#include <utility>

#include "io/atomic_file.hpp"
#include "jobs/job.hpp"
#include "jobs/options/numbers.hpp"
#include "jobs/steps/submission.hpp"
#include "jobs/verbs.hpp"
#include "src/base/check.hpp"

namespace thresher::jobs {

namespace {

namespace fs = std::filesystem;

// What is of the submission, as --json before the verb is; everything else is of the verb.
constexpr std::array<std::string_view, 9> kWithValue{
    "--nodes",     "--ntasks-per-node", "--cpus-per-task", "--gpus-per-node", "--time",
    "--partition", "--account",         "--site",          "--sbatch"};
constexpr std::array<std::string_view, 1> kFlags{"--dry-run"};

struct CommandLine {
    std::vector<std::string> own, step;  ///< `step` starts with the verb
};

/// Local.
CommandLine split(const std::vector<std::string>& arguments) {
    CommandLine line;
    const auto is_of = [](const auto& options, std::string_view name) {
        return std::find(options.begin(), options.end(), name) != options.end();
    };
    for (std::size_t i = 0; i < arguments.size(); ++i) {
        const std::string& argument = arguments[i];
        const std::string name = argument.substr(0, argument.find('='));
        const bool own =
            line.step.empty() && (name == "--help" || name == "-h" || name == "--json");
        if (is_of(kWithValue, name)) {
            line.own.push_back(argument);
            if (name == argument && i + 1 < arguments.size()) line.own.push_back(arguments[++i]);
        } else {
            (own || is_of(kFlags, name) ? line.own : line.step).push_back(argument);
        }
    }
    return line;
}

/// A second word that names an action comes first: policy train, table build.
Stopping stopping_of(const std::vector<std::string>& step) {
    const std::string action = step.front() + (step.size() > 1 ? " " + step[1] : std::string());
    if (step.front() == "train" || step.front() == "loop" || action == "policy train") {
        return {true, true, true};
    }
    return {action == "table build", false, false};
}

void add_options(CLI::App& app, Allocation& allocation, bool& dry_run) {
    app.add_option("--nodes", allocation.nodes, "Nodes to ask for")->check(above_zero());
    app.add_option("--ntasks-per-node", allocation.tasks_per_node,
                   "Ranks of each node; 0 = one a GPU, or one where none are asked for")
        ->check(zero_or_more());
    app.add_option("--cpus-per-task", allocation.cpus_per_task, "Cores, and threads, of each rank")
        ->check(above_zero());
    app.add_option("--gpus-per-node", allocation.gpus_per_node, "GPUs of each node")
        ->check(zero_or_more());
    app.add_option("--time", allocation.time, "Time of each part of the job, as sbatch reads it");
    app.add_option("--partition", allocation.partition, "Partition");
    app.add_option("--account", allocation.account, "Account that is charged");
    app.add_option("--site", allocation.site,
                   "Script of the site's modules and paths (slurm/site.example.sh)");
    app.add_option("--sbatch", allocation.others,
                   "Another option of sbatch, as in --sbatch=--mem=0; may be given several times")
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    app.add_flag("--dry-run", dry_run, "Print the script; write and submit nothing");
}

/// What the verb makes of its options, names -> values. It reads them here, where a misspelt one
/// costs nothing, and not after hours in a queue.
std::map<std::string, std::string> options_of(const std::vector<std::string>& step) {
    std::vector<std::string> words{"/proc/self/exe"};
    words.insert(words.end(), step.begin(), step.end());
    words.emplace_back("--print-config");
    const Answer answer = run_program(words);
    THRESHER_CHECK_AS(UsageError, answer.exit_code == 0,
                      "thresher {} does not understand its options (see above); nothing was "
                      "submitted",
                      step.front());
    std::istringstream config(answer.output);
    std::map<std::string, std::string> options;
    for (const CLI::ConfigItem& item : CLI::ConfigTOML().from_config(config)) {
        if (item.inputs.size() == 1) options[item.name] = item.inputs.front();
    }
    return options;
}

/// Where the script goes: into the run directory, or beside the output. Local.
std::string script_path(const std::vector<std::string>& step) {
    auto options = options_of(step);
    const std::string run = options["run"], output = options["output"];
    if (!run.empty()) return (fs::absolute(run) / "submit.sbatch").lexically_normal();
    THRESHER_CHECK_AS(UsageError, !output.empty(),
                      "thresher {} has neither --run nor --output: give one, so that it is known "
                      "where to put the job's script and output",
                      fmt::join(step, " "));
    return fs::absolute(output + ".sbatch").lexically_normal();
}

}  // namespace

int run_submit(Job& job) {
    Allocation allocation;
    bool dry_run = false;
    const CommandLine line = split(job.arguments());
    add_options(job.options(), allocation, dry_run);
    job.options().footer(job.options().get_footer() +
                         "\nAll other options, those common to all verbs too, go to the verb; "
                         "--json before it is submit's.");
    job.start(line.own);
    THRESHER_CHECK_AS(UsageError, job.collective().size() == 1,
                      "submit runs on one rank, but {} were started; run it without mpirun",
                      job.collective().size());
    const auto is_verb = [&](const Verb& verb) {
        return verb.name != "submit" && verb.name == line.step.front();
    };
    THRESHER_CHECK_AS(UsageError,
                      !line.step.empty() && std::any_of(verbs().begin(), verbs().end(), is_verb),
                      "submit {}: name the verb to submit first, as in thresher submit train "
                      "--pool pool.h5 ... --nodes 4",
                      fmt::join(line.step, " "));
    if (allocation.tasks_per_node == 0) {
        allocation.tasks_per_node = std::max(1, allocation.gpus_per_node);
    }
    if (!allocation.site.empty()) {
        THRESHER_CHECK_AS(UsageError, fs::exists(allocation.site), "--site {}: does not exist",
                          allocation.site);
        allocation.site = fs::absolute(allocation.site);
    }
    const std::string script = script_path(line.step);
    const std::string text = job_script(allocation, stopping_of(line.step), line.step,
                                        fs::path(script).parent_path().string());
    if (dry_run) {
        job.print(text);
        return 0;
    }
    std::error_code error;
    fs::create_directories(fs::path(script).parent_path(), error);
    io::write_file(script, text, io::Overwrite::yes);
    const Answer answer = run_program({"sbatch", "--parsable", script});
    THRESHER_CHECK(answer.exit_code == 0, "sbatch {} ended with exit code {} (see above)", script,
                   answer.exit_code);
    // "17", or "17;cluster".
    const std::string id = answer.output.substr(0, answer.output.find_first_of(";\n"));
    job.print(id);
    job.finish({{"job", id}, {"script", script}});
    return 0;
}

}  // namespace thresher::jobs
