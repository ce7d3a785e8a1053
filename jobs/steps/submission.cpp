#include "jobs/steps/submission.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "src/base/check.hpp"
#include "step_script.hpp"

extern char** environ;

namespace thresher::jobs {

namespace {

bool has(const std::vector<std::string>& arguments, const std::string& option) {
    return std::any_of(arguments.begin(), arguments.end(), [&](const std::string& argument) {
        return argument == option || argument.rfind(option + "=", 0) == 0;
    });
}

/// A path as `#SBATCH --output="..."` takes it: % begins a pattern there, and a quote ends it.
std::string as_file_pattern(const std::string& path) {
    THRESHER_CHECK_AS(UsageError, path.find_first_of("\"\n\\") == std::string::npos,
                      "{}: Slurm takes no path for a job's output that has a double quote, a "
                      "backslash or a line break in it; choose another --run or --output",
                      path);
    std::string pattern;
    for (const char c : path) pattern += c == '%' ? std::string("%%") : std::string(1, c);
    return pattern;
}

std::string directives(const Allocation& allocation, const Stopping& stopping,
                       const std::string& verb, const std::string& directory) {
    std::vector<std::string> lines;
    const auto add = [&](const char* option, const auto& value) {
        lines.push_back(fmt::format("--{}={}", option, value));
    };
    add("job-name", "thresher-" + verb);
    add("nodes", allocation.nodes);
    add("ntasks-per-node", allocation.tasks_per_node);
    add("cpus-per-task", allocation.cpus_per_task);
    // For the node, not for each task: ranks reach the memory of each other's GPUs that way.
    if (allocation.gpus_per_node > 0) add("gpus-per-node", allocation.gpus_per_node);
    add("time", allocation.time);
    if (!allocation.partition.empty()) add("partition", allocation.partition);
    if (!allocation.account.empty()) add("account", allocation.account);
    add("output", '"' + as_file_pattern(directory) + "/slurm-%j.out\"");
    add("open-mode", "append");
    if (stopping.by_signal) add("signal", "B:USR1@300");
    lines.emplace_back("--requeue");
    lines.insert(lines.end(), allocation.others.begin(), allocation.others.end());
    std::string text;
    for (const std::string& line : lines) text += "#SBATCH " + line + "\n";
    return text;
}

}  // namespace

std::string shell_word(const std::string& text) {
    constexpr const char* kPlain =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./,:@%";
    if (!text.empty() && text.find_first_not_of(kPlain) == std::string::npos) return text;
    std::string word = "'";
    for (const char c : text) word += c == '\'' ? std::string("'\\''") : std::string(1, c);
    return word + "'";
}

std::string job_script(const Allocation& allocation, const Stopping& stopping,
                       const std::vector<std::string>& arguments, const std::string& directory) {
    std::string step = "run_step";
    for (const std::string& argument : arguments) step += " " + shell_word(argument);
    if (stopping.resume && !has(arguments, "--resume")) step += " --resume";
    if (stopping.by_walltime && !has(arguments, "--max-walltime")) {
        step += " --max-walltime \"$(walltime_left)\"";
    }
    const auto program = std::filesystem::read_symlink("/proc/self/exe").parent_path().string();
    return "#!/usr/bin/env bash\n# Written by thresher submit.\n" +
           directives(allocation, stopping, arguments.front(), directory) +
           fmt::format("export PATH={}:$PATH\n", shell_word(program)) +
           (allocation.site.empty() ? "" : fmt::format(". {}\n", shell_word(allocation.site))) +
           "\n" + kStepScript + "\n" + step + "\n";
}

Answer run_program(const std::vector<std::string>& words) {
    std::array<int, 2> ends{};
    THRESHER_CHECK(pipe2(ends.data(), O_CLOEXEC) == 0, "{} cannot be started: {}", words.front(),
                   std::strerror(errno));
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    std::vector<char*> arguments;
    for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    pid_t process = 0;
    const int reason =
        posix_spawnp(&process, words.front().c_str(), &actions, nullptr, arguments.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    ::close(ends[1]);
    Answer answer;
    std::array<char, 4096> buffer{};
    ssize_t count = 0;
    while (reason == 0 && (count = ::read(ends[0], buffer.data(), buffer.size())) != 0) {
        if (count > 0) answer.output.append(buffer.data(), static_cast<std::size_t>(count));
        if (count < 0 && errno != EINTR) break;
    }
    ::close(ends[0]);
    THRESHER_CHECK(reason == 0, "{} cannot be started: {}", words.front(), std::strerror(reason));
    int status = 0;
    while (::waitpid(process, &status, 0) < 0 && errno == EINTR) {
    }
    answer.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return answer;
}

}  // namespace thresher::jobs
