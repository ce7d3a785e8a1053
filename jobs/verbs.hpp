#pragma once

// The verbs of the program. Adding one is one file and one line in verbs.cpp.

#include <string_view>
#include <vector>

namespace thresher::jobs {

class Job;

struct Verb {
    std::string_view name, summary;
    /// A command that runs as printed, once `bash jobs/quickstart.sh` has made its files.
    std::string_view example;
    int (*run)(Job& job);
    /// Whether it may put a model on a GPU; the others start without looking for one.
    bool runs_models = false;
};

const std::vector<Verb>& verbs();

int run_import(Job& job);
int run_derive(Job& job);
int run_predict(Job& job);
int run_score(Job& job);
int run_select(Job& job);
int run_label(Job& job);
int run_train(Job& job);
int run_evaluate(Job& job);
int run_map(Job& job);
int run_loop(Job& job);
int run_table(Job& job);
int run_env(Job& job);
int run_info(Job& job);
int run_cost(Job& job);
int run_policy(Job& job);
int run_submit(Job& job);
int run_status(Job& job);
int run_list(Job& job);

}  // namespace thresher::jobs
