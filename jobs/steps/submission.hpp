#pragma once

// A Slurm job for one verb: the script that runs it, and what other programs answer.

#include <string>
#include <vector>

namespace thresher::jobs {

/// What to ask Slurm for.
struct Allocation {
    int nodes = 1, tasks_per_node = 0, cpus_per_task = 1, gpus_per_node = 0;
    std::string time = "1:00:00", partition, account, site;
    std::vector<std::string> others;  ///< lines of #SBATCH as they are, such as --mem=0
};

/// How a verb ends when its time is up.
struct Stopping {
    bool by_signal = false;    ///< writes what it has after SIGUSR1 and asks to be requeued
    bool resume = false;       ///< has --resume
    bool by_walltime = false;  ///< has --max-walltime
};

/// `text` as one word of a shell, whatever is in it.
std::string shell_word(const std::string& text);

/// The whole script: what is asked for, step.sh, and the step itself. `arguments` start with the
/// verb; `directory` is where the job's output goes. Throws UsageError where Slurm
/// could not name it.
std::string job_script(const Allocation& allocation, const Stopping& stopping,
                       const std::vector<std::string>& arguments, const std::string& directory);

struct Answer {
    int exit_code = 0;
    std::string output;  ///< its stdout; stderr is ours
};

/// Runs a program found in the PATH, without a shell. Throws Error where it cannot be started.
/// Local.
Answer run_program(const std::vector<std::string>& words);

}  // namespace thresher::jobs
