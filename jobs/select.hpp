#pragma once

// What the verb select does, which `thresher policy select` does as well.

#include <string>
#include <vector>

#include "io/labelling/tasks.hpp"
#include "jobs/steps/choice/choice.hpp"

namespace thresher::jobs {

struct SelectOptions {
    ScoreSourceOptions source;
    ChoiceOptions choice;
    std::int64_t k = 0;
    std::vector<std::string> exclude, exports;
    io::TaskOptions tasks;
    std::string output;
};

void add_select_options(CLI::App& app, SelectOptions& options);

/// The verb, once its options are read. Collective.
int select_batch(Job& job, SelectOptions& options);

}  // namespace thresher::jobs
