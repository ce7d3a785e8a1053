#include "jobs/steps/loop/cycle_agent.hpp"

#include <algorithm>
#include <cmath>
#include <unordered_map>
#include <utility>

#include "jobs/steps/policy/policy_grounds.hpp"
#include "src/base/agreement.hpp"
#include "src/base/check.hpp"
#include "src/base/log.hpp"
#include "src/policy/reinforce.hpp"
#include "src/random/philox.hpp"

namespace thresher::jobs {

namespace {

constexpr std::int64_t kEnvironments = 8;
constexpr std::int64_t kComponents = 32;
constexpr std::int64_t kLast = 20;   // updates whose mean gain is told
constexpr std::uint32_t kRound = 1;  // of the seeds; round 0 has those of `policy train`

/// The smoother of the metrics: a few reward points tell no small difference of accuracy.
constexpr const char* kMetric = "negative-loss";

/// The rows with a label and an embedding that is finite.
Points labelled_points(const RowPredictions& rows, std::int64_t dimensions,
                       std::span<const std::int64_t> ids, std::span<const std::int64_t> labels) {
    std::unordered_map<std::int64_t, std::int64_t> label_of;
    for (std::size_t i = 0; i < ids.size(); ++i) label_of[ids[i]] = labels[i];
    Points points;
    for (std::size_t i = 0; i < rows.ids.size(); ++i) {
        const auto from = rows.embeddings.begin() + static_cast<std::int64_t>(i) * dimensions;
        const std::int64_t label = label_of.at(rows.ids[i]);
        if (label < 0 || !std::all_of(from, from + dimensions,
                                      [](float value) { return std::isfinite(value); })) {
            continue;
        }
        points.features.insert(points.features.end(), from, from + dimensions);
        points.targets.push_back(static_cast<std::int32_t>(label));
        ++points.rows;
    }
    return points;
}

/// A quarter to begin with, half to choose from, the rest to reward by; nothing is tested.
EnvironmentOptions parts_of_labelled(const Points& points, std::int64_t dimensions) {
    EnvironmentOptions options;
    options.name = "pool";
    options.labelled = points.rows / 4;
    options.candidates = points.rows / 2;
    options.test = 1;
    options.reward = points.rows - options.labelled - options.candidates - options.test;
    options.components = std::min({kComponents, dimensions, points.rows - options.test - 1});
    return options;
}

Environment draw_environment(const Points& points, std::int64_t dimensions, std::int64_t classes,
                             std::uint64_t seed) {
    const EnvironmentOptions options = parts_of_labelled(points, dimensions);
    const std::vector<std::int64_t> targets(points.targets.begin(), points.targets.end());
    Points drawn;
    for (const std::int64_t row : draw_rows(targets, options, seed)) {
        const auto from = points.features.begin() + row * dimensions;
        drawn.features.insert(drawn.features.end(), from, from + dimensions);
        drawn.targets.push_back(points.targets[static_cast<std::size_t>(row)]);
        ++drawn.rows;
    }
    return make_environment(options, seed, drawn, dimensions, classes);
}

/// Adds what the proxies have computed since the last call, `before`. Collective.
void add_flops_of_proxies(Collective& collective, std::span<const Ground> grounds, double& before,
                          std::map<std::string, double>& ledger) {
    double all = 0.0;
    for (const Ground& ground : grounds) all += ground.retrained->flops();
    double since = all - std::exchange(before, all);
    collective.all_reduce_sum(std::span(&since, 1));
    ledger["flops/proxy"] += since;
}

void train_to_the_end(Job& job, Reinforce& agent, std::span<const Ground> grounds,
                      const AgentOptions& options, const AgentCheckpoints& checkpoints) {
    double proxies = 0.0;
    const auto progress = job.progress(options.title, options.updates, "updates");
    while (!agent.finished()) {
        agent.update();
        progress->update(agent.updates_done(),
                         fmt::format("gain {:+.2f} SD", agent.curves().at("gain").back()));
        const Due due = checkpoints.clock.due(job.collective());
        if (due == Due::nothing) continue;
        add_flops_of_proxies(job.collective(), grounds, proxies, checkpoints.ledger);
        checkpoints.write(agent.export_state());
        if (due == Due::checkpoint) continue;
        throw Requeue(fmt::format(
            "asked to stop after update {} of {} of the policy: a checkpoint was written; run the "
            "same command with --resume to go on",
            agent.updates_done(), options.updates));
    }
    progress->finish();
    add_flops_of_proxies(job.collective(), grounds, proxies, checkpoints.ledger);
    // All ranks do the same work on the policy, which counts once.
    checkpoints.ledger["flops/policy"] += agent.flops();
}

}  // namespace

io::TrainedPolicy train_agent(Job& job, PredictionStream& stream,
                              std::span<const std::uint8_t> labelled,
                              std::span<const std::int64_t> ids,
                              std::span<const std::int64_t> labels, const io::TrainedPolicy* start,
                              const AgentOptions& options, const AgentCheckpoints& checkpoints) {
    const auto timer = job.phases().time("agent");
    const PredictionsShape& shape = stream.shape();
    const RowPredictions rows = gather_predictions(job.collective(), stream,
                                                   marked_rows(job.collective(), stream, labelled));
    const std::uint64_t seed =
        KeyedRandom(options.seed, Stream::policy_environment, kRound).bits(options.round);
    io::TrainedPolicy trained;
    trained.feature_kinds = start != nullptr ? start->feature_kinds : default_feature_kinds();
    trained.picks = options.picks;
    trained.environment = "labelled set";
    std::vector<Ground> grounds(kEnvironments);
    std::vector<TrainingEnvironment> environments;
    Points points;
    agree(job.collective(), [&] {
        points = labelled_points(rows, shape.embedding_size, ids, labels);
        THRESHER_CHECK(points.rows >= labels_needed(options.picks),
                       "{} rows have a label and an embedding, but an agent that is trained in "
                       "what is labelled needs {} for batches of {}; take a larger --initial, a "
                       "smaller -k or --agent fixed",
                       points.rows, labels_needed(options.picks), options.picks);
    });
    for (std::int64_t i = 0; i < kEnvironments; ++i) {
        Ground& ground = grounds[static_cast<std::size_t>(i)];
        ground.seed = KeyedRandom(seed, Stream::policy_environment, 0).bits(i);
        agree(job.collective(), [&] {
            ground.open.environment =
                draw_environment(points, shape.embedding_size, shape.classes, ground.seed);
        });
        EnvironmentChoice proxy;
        proxy.environment.name = "pool";
        furnish(job, ground, proxy, kMetric, trained.feature_kinds);
        environments.push_back(
            {fmt::format("labelled set {}", i), ground.candidates, ground.reward.get()});
    }
    ReinforceOptions training;
    training.picks = options.picks;
    training.updates = options.updates;
    training.seed = seed;
    Policy policy = start != nullptr
                        ? start->policy
                        : make_policy("sequential", {environments[0].candidates.width, 32, 1}, 10.0,
                                      options.seed);
    if (!options.parameters.empty()) {
        policy.parameters.assign(options.parameters.begin(), options.parameters.end());
    }
    Reinforce agent(std::move(policy), environments, training);
    if (!checkpoints.begun.empty()) {
        agree(job.collective(), [&] { agent.import_state(checkpoints.begun); });
        log::info("{}: goes on at update {} of {}", options.title, agent.updates_done(),
                  options.updates);
    }
    train_to_the_end(job, agent, grounds, options, checkpoints);
    trained.policy = agent.policy();
    trained.curves = agent.curves();
    const std::vector<double>& gains = trained.curves.at("gain");
    const auto last = std::min(kLast, std::ssize(gains));
    log::info("policy trained on {} labelled rows: {:+.2f} standard deviations of random batches",
              points.rows, spread_of(std::span(gains).last(static_cast<std::size_t>(last))).mean);
    return trained;
}

}  // namespace thresher::jobs
