// thresher info: what a file holds, or what this build can do. thresher list: the tables.

#include <thread>

#include "io/describe.hpp"
#include "io/importers/importers.hpp"
#include "jobs/job.hpp"
#include "jobs/verbs.hpp"
#include "mpi/cuda_backend.hpp"
#include "src/acquisition/acquisition.hpp"
#include "src/base/agreement.hpp"
#include "src/models/model.hpp"
#include "src/selection/scan.hpp"
#include "src/selection/select.hpp"
#include "src/strategy/strategy.hpp"

#include <fmt/ranges.h>

namespace thresher::jobs {

namespace {

std::string build_facts() {
    std::string why_not;
    const bool cuda = mpi::cuda_backend_available(&why_not);
    return fmt::format(
        "thresher    {} ({})\n"
        "cores       {}\n"
        "SIMD        {}\n"
        "GPU         {}",
        io::producer_version(), io::git_commit(), std::thread::hardware_concurrency(),
        scan_target(), cuda ? "available" : "none: " + why_not);
}

std::string tables() {
    std::string text = "Strategies (how predictions are made)\n";
    for (const StrategyInfo& strategy : strategies()) {
        text += fmt::format("  {:<18} {} -> {}\n", strategy.name, strategy.description,
                            fmt::join(strategy.produces, ", "));
    }
    text += "\nAcquisitions (how predictions become scores, higher = pick first)\n";
    for (const Acquisition& acquisition : acquisitions()) {
        text += fmt::format("  {:<18} {}\n  {:<18} {}   needs {}   [{}]\n", acquisition.name,
                            acquisition.description, "", acquisition.formula,
                            acquisition.needs.empty()
                                ? "nothing"
                                : fmt::format("{}", fmt::join(acquisition.needs, ", ")),
                            acquisition.source);
    }
    text += "\nSelectors (how scores become a batch)\n";
    for (const SelectorInfo& selector : selectors()) {
        text += fmt::format("  {:<18} {}: {}   [{}]\n", selector.name, selector.description,
                            selector.formula, selector.source);
    }
    text += "\nModels (built in; a TorchScript file will do as well)\n";
    for (const ModelInfo& model : built_in_models())
        text += fmt::format("  {:<18} {}\n", model.name, model.description);
    text += "\nImporters\n";
    for (const io::Importer& importer : io::importers()) {
        text += fmt::format("  {:<18} {}\n", importer.name, importer.description);
    }
    text.pop_back();
    return text;
}

}  // namespace

int run_info(Job& job) {
    std::vector<std::string> files;
    job.options().add_option("file", files, "Files or directories to describe; none: this build");
    job.start();
    agree(job.collective(), [&] {
        if (files.empty()) job.print(build_facts());
        for (const std::string& file : files) {
            if (job.is_root()) job.print(io::describe(file));
        }
    });
    return 0;
}

int run_list(Job& job) {
    job.start();
    job.print(tables());
    return 0;
}

}  // namespace thresher::jobs
