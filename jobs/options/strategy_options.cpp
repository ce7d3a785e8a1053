#include "jobs/options/strategy_options.hpp"

#include <fmt/ranges.h>

#include <algorithm>

#include "jobs/options/numbers.hpp"
#include "jobs/options/pool_options.hpp"
#include "src/base/check.hpp"
#include "src/base/log.hpp"
#include "src/strategy/strategy.hpp"

namespace thresher::jobs {

namespace {

bool uses(const StrategyInfo& strategy, std::string_view role) {
    return std::find(strategy.roles.begin(), strategy.roles.end(), role) != strategy.roles.end();
}

/// Refuses a model that was given for a role no strategy uses.
void check_used(const std::vector<std::string>& chosen, std::string_view role, bool given) {
    if (!given) return;
    const bool used = std::any_of(chosen.begin(), chosen.end(), [&](const std::string& name) {
        return uses(find_strategy(name), role);
    });
    if (used) return;
    std::vector<std::string_view> users;
    for (const StrategyInfo& strategy : strategies()) {
        if (uses(strategy, role)) users.push_back(strategy.name);
    }
    fail<UsageError>(
        "--{} was given, but strategy {} does not use it; leave it out, or use --strategy {}", role,
        fmt::join(chosen, ", "), fmt::join(users, ", "));
}

}  // namespace

void add_strategy_options(CLI::App& app, StrategyOptions& options) {
    PredictorOptions& predictor = options.predictor;
    app.add_option("--learner", options.learner, "Model file of the learner");
    app.add_option("--reference", options.reference, "Model file of the reference");
    app.add_option("--online", options.online, "Model file of the online model");
    app.add_option("--ensemble", options.ensemble, "Model files of an ensemble, one a sample")
        ->delimiter(',');
    app.add_option("--strategy", predictor.strategies,
                   "How predictions are made; see thresher list")
        ->delimiter(',');
    app.add_option("--samples", predictor.samples,
                   fmt::format("monte-carlo: passes; {} unless given", kDefaultSamples))
        ->check(zero_or_more());
    app.add_flag("--consistent-masks", predictor.consistent_masks,
                 "monte-carlo: one mask a pass for the whole pool");
    app.add_option("--boxes-per-image", predictor.boxes,
                   fmt::format("boxes: the best of each image; {} unless given", kDefaultBoxes))
        ->check(zero_or_more());
    app.add_flag("--box-flips", predictor.box_flips,
                 "boxes: also compare each with what is found in the mirrored image");
    app.add_option("--round", predictor.round, "Another round draws other random numbers")
        ->check(CLI::Range(0U, ~0U));
    app.add_option("--micro-batch", predictor.micro_batch,
                   "Rows in one forward pass; 0 = chosen for the model")
        ->check(zero_or_more());
}

void warn_without_models(const Job& job, const std::string& file) {
    std::vector<std::string_view> given;
    for (const char* option : {"--strategy", "--samples", "--consistent-masks", "--boxes-per-image",
                               "--box-flips", "--micro-batch"}) {
        if (job.was_given(option)) given.push_back(option);
    }
    if (given.empty()) return;
    log::warn("{} not read: no model predicts, as {} is there already", fmt::join(given, ", "),
              file);
}

std::unique_ptr<Predictor> make_predictor(const Job& job, const StrategyOptions& options,
                                          const io::PoolFile& pool) {
    const std::vector<std::string>& chosen = options.predictor.strategies;
    check_used(chosen, "learner", !options.learner.empty());
    check_used(chosen, "reference", !options.reference.empty());
    check_used(chosen, "online", !options.online.empty());
    check_used(chosen, "ensemble", !options.ensemble.empty());
    std::vector<std::unique_ptr<Model>> models;
    const auto load = [&](const std::string& path) -> const Model* {
        if (path.empty()) return nullptr;
        models.push_back(load_model(path, pool.info(), job.device()));
        check_same_vocabulary(models.back()->spec(), pool, path);
        return models.back().get();
    };
    ModelRoles roles;
    roles.learner = load(options.learner);
    roles.reference = load(options.reference);
    roles.online = load(options.online);
    for (const std::string& path : options.ensemble) roles.ensemble.push_back(load(path));
    PredictorOptions predictor = options.predictor;
    predictor.seed = job.common().seed;
    return std::make_unique<Predictor>(roles, pool.info(), predictor);
}

}  // namespace thresher::jobs
