// thresher list: the tables of what can be combined.

#include <fmt/ranges.h>

#include <algorithm>

#include "io/importers/importers.hpp"
#include "jobs/job.hpp"
#include "jobs/verbs.hpp"
#include "src/acquisition/acquisition.hpp"
#include "src/acquisition/joint/joint.hpp"
#include "src/base/check.hpp"
#include "src/environments/environments.hpp"
#include "src/models/model.hpp"
#include "src/policy/candidate_features.hpp"
#include "src/policy/heads/heads.hpp"
#include "src/policy/lookup_table/estimator.hpp"
#include "src/selection/select.hpp"
#include "src/strategy/strategy.hpp"
#include "src/training/prioritised/method.hpp"

namespace thresher::jobs {

namespace {

std::string joined(const std::vector<std::string_view>& words) {
    return words.empty() ? "nothing" : fmt::format("{}", fmt::join(words, ", "));
}

std::string strategy_table() {
    std::string text = "Strategies (how predictions are made)\n";
    for (const StrategyInfo& strategy : strategies()) {
        text += fmt::format("  {:<20} {}\n  {:<20} {} -> {}   [{}]\n", strategy.name,
                            strategy.description, "", joined(strategy.roles),
                            joined(strategy.produces), strategy.source);
    }
    return text;
}

std::string acquisition_table() {
    std::string text = "Acquisitions (how predictions become scores, higher = pick first)\n";
    for (const Acquisition& acquisition : acquisitions()) {
        text += fmt::format("  {:<20} {}\n  {:<20} {}   needs {}   [{}]\n", acquisition.name,
                            acquisition.description, "", acquisition.formula,
                            joined(acquisition.needs), acquisition.source);
    }
    return text;
}

std::string joint_table() {
    std::string text = "Joint acquisitions (rows picked together; over N rows, k picks, P ranks)\n";
    for (const JointAcquisition& acquisition : joint_acquisitions()) {
        text += fmt::format(
            "  {:<20} {}\n  {:<20} {}   needs {}   [{}]\n  {:<20} time {}; memory {}; bytes {}\n",
            acquisition.name, acquisition.description, "", acquisition.formula,
            joined(acquisition.needs), acquisition.source, "", acquisition.time, acquisition.memory,
            acquisition.bytes);
    }
    return text;
}

std::string selector_table() {
    std::string text = "Selectors (how scores become a batch)\n";
    for (const SelectorInfo& selector : selectors()) {
        text += fmt::format("  {:<20} {}: {}   [{}]\n", selector.name, selector.description,
                            selector.formula, selector.source);
    }
    return text;
}

std::string method_table() {
    std::string text = "Methods (how the rows of a training update are chosen)\n";
    for (const Method& method : methods()) {
        text += fmt::format("  {:<20} {}\n", method.name, method.description);
        if (method.acquisition.empty()) continue;
        text += fmt::format("  {:<20} score {}; {}, filter ratio {}   [{}]\n", "", method.formula,
                            method.selector, method.filter_ratio, method.source);
    }
    return text;
}

std::string model_table() {
    std::string text = "Models (built in; a TorchScript file will do as well)\n";
    for (const ModelInfo& model : built_in_models())
        text += fmt::format("  {:<20} {}\n", model.name, model.description);
    return text;
}

std::string environment_table() {
    std::string text = "Environments (where batches are chosen, and learners retrained)\n";
    for (const EnvironmentInfo& environment : environments()) {
        text += fmt::format("  {:<20} {}\n", environment.name, environment.description);
    }
    return text;
}

std::string estimator_table() {
    std::string text = "Estimators (what a lookup table makes of a subset that it does not hold)\n";
    for (const EstimatorInfo& estimator : estimators()) {
        text += fmt::format("  {:<20} {}\n  {:<20} {}   [{}]\n", estimator.name,
                            estimator.description, "", estimator.formula, estimator.source);
    }
    return text;
}

std::string importer_table() {
    std::string text = "Importers\n";
    for (const io::Importer& importer : io::importers()) {
        text += fmt::format("  {:<20} {}\n", importer.name, importer.description);
    }
    return text;
}

std::string head_table() {
    std::string text = "Heads of policies (how their outputs become a batch)\n";
    for (const Head& head : heads()) {
        text += fmt::format("  {:<20} {}\n  {:<20} {}   [{}]\n", head.name, head.description, "",
                            head.formula, head.source);
    }
    return text;
}

std::string feature_table() {
    std::string text = "Features that policies read of candidates\n";
    for (const FeatureKind& kind : feature_kinds()) {
        text += fmt::format("  {:<20} {}   needs {}\n", kind.name, kind.description, kind.need);
    }
    return text;
}

template <auto kEntries>
nlohmann::json names_of() {
    nlohmann::json names = nlohmann::json::array();
    for (const auto& entry : kEntries()) names.push_back(std::string(entry.name));
    return names;
}

struct Table {
    std::string_view name;
    std::string (*text)();
    nlohmann::json (*names)();
};

constexpr Table kTables[]{{"strategies", strategy_table, names_of<strategies>},
                          {"acquisitions", acquisition_table, names_of<acquisitions>},
                          {"joint", joint_table, names_of<joint_acquisitions>},
                          {"selectors", selector_table, names_of<selectors>},
                          {"methods", method_table, names_of<methods>},
                          {"models", model_table, names_of<built_in_models>},
                          {"environments", environment_table, names_of<environments>},
                          {"estimators", estimator_table, names_of<estimators>},
                          {"heads", head_table, names_of<heads>},
                          {"features", feature_table, names_of<feature_kinds>},
                          {"importers", importer_table, names_of<io::importers>}};

}  // namespace

int run_list(Job& job) {
    std::vector<std::string> wanted;
    job.options().add_option(
        "table", wanted,
        "strategies, acquisitions, joint, selectors, methods, models, environments, estimators, "
        "heads, features, importers; none: all");
    job.start();
    std::vector<std::string_view> known;
    for (const Table& table : kTables) known.push_back(table.name);
    for (const std::string& name : wanted) {
        THRESHER_CHECK_AS(UsageError, std::find(known.begin(), known.end(), name) != known.end(),
                          "there is no table \"{}\"; known: {}", name, fmt::join(known, ", "));
    }
    std::string text;
    nlohmann::json names;
    for (const Table& table : kTables) {
        if (!wanted.empty() && std::find(wanted.begin(), wanted.end(), table.name) == wanted.end())
            continue;
        text += (text.empty() ? "" : "\n") + table.text();
        names[std::string(table.name)] = table.names();
    }
    text.pop_back();
    job.print(text);
    job.finish(names);
    return 0;
}

}  // namespace thresher::jobs
