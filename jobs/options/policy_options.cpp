#include "jobs/options/policy_options.hpp"

#include <fmt/ranges.h>

#include "io/checksum.hpp"
#include "jobs/options/numbers.hpp"
#include "src/base/check.hpp"

namespace thresher::jobs {

namespace {

void add_shared_options(CLI::App& app, PolicyOptions& options) {
    add_action(app);
    add_environment_options(app, options.choice);
    add_proxy_options(app, options.choice);
    app.add_option("--environments", options.environments,
                   "How many, each made from a seed of its own")
        ->check(above_zero());
    app.add_option("--table", options.tables,
                   "Files of thresher table build, one of each environment: makes theirs, and "
                   "begins with their records")
        ->check(CLI::ExistingFile);
    app.add_option(
        "--metric", options.metric,
        "Of a retrained proxy: accuracy or negative-loss; of images average-precision or "
        "negative-loss; the first unless given");
}

}  // namespace

void add_action(CLI::App& app) {
    app.add_option("action", "train, select or evaluate; comes first")
        ->required()
        ->check(CLI::IsMember({"train", "select", "evaluate"}))
        ->configurable(false);
}

void add_policy_training_options(CLI::App& app, PolicyOptions& options) {
    options.choice.environment.candidates = 50;
    add_shared_options(app, options);
    app.add_option("-k,--k", options.picks, "Candidates of a batch")->check(above_zero());
    app.add_option("--head", options.head, "How outputs become a batch; see thresher list heads");
    app.add_option("--features", options.features,
                   "Kinds of features that the policy reads; see thresher list features")
        ->delimiter(',');
    app.add_option("--hidden", options.hidden, "Size of the LSTM's state, a multiple of 16");
    app.add_option("--logit-bound", options.logit_bound, "Logits lie between -B and B");
    ReinforceOptions& training = options.training;
    app.add_option("--updates", training.updates, "Steps of Adam, one environment each");
    app.add_option("--rollouts", training.rollouts, "Batches drawn for an update");
    app.add_option("--learning-rate", training.learning_rate, "Of Adam");
    app.add_option("--gradient-clip", training.gradient_clip,
                   "Largest norm of a gradient; 0 = any");
    app.add_option("--baseline", training.baseline,
                   "What a reward is compared with: none, mean, leave-one-out or value");
    app.add_option("--entropy-bonus", training.entropy_bonus,
                   "Weight of the entropy at the first update");
    app.add_option("--last-entropy-bonus", training.last_entropy_bonus,
                   "And at the last; in a straight line between");
    app.add_option("--replay", training.replay,
                   "Rollouts of earlier updates, the last in the environment, that an update uses "
                   "again, weighed by how likely they are now; 0 = none");
    app.add_option("--truncation", training.truncation,
                   "Heads that walk: gradients flow through so many steps; 0 = through all");
    app.add_option("--rewards", options.rewards,
                   "From a lookup table, or by retraining for every batch: table or retrained")
        ->check(CLI::IsMember({"table", "retrained"}));
    app.add_option("--estimator", options.table.estimator,
                   "table: what estimates the metric of a batch; see thresher list estimators");
    app.add_option("--records", options.table.records,
                   "table: random batches that are retrained before training");
    app.add_option("--refresh-every", options.training.refresh_every,
                   "table: updates between two refreshes; 0 = never")
        ->default_val(10);
    app.add_option("--refreshed", options.table.refreshed,
                   "table: batches retrained in a refresh; a quarter or more are random");
    app.add_option("--run", options.run, "Directory for policy.h5, run.h5, checkpoints and log.txt")
        ->required();
    app.add_flag("--resume", options.resume, "Go on from the run's last checkpoint");
    app.add_option("--checkpoint-every", options.checkpoint_every_s, "Seconds between checkpoints")
        ->check(zero_or_more());
    app.add_option("--max-walltime", options.max_walltime_s,
                   "Seconds after which to write a checkpoint and end; 0 = never")
        ->check(zero_or_more());
}

void add_policy_evaluation_options(CLI::App& app, PolicyOptions& options) {
    options.environments = 10;
    options.choice.environment.candidates = 50;
    add_shared_options(app, options);
    app.add_option("--policy", options.policy, "File that thresher policy train wrote")->required();
    app.add_option("-k,--k", options.picks, "Candidates of a batch; 0 = as in training")
        ->default_val(0)
        ->check(zero_or_more());
    app.add_option("--choosers", options.choosers,
                   "Acquisitions and oracles to compare with (see thresher env), and searches: "
                   "best-of-table, search")
        ->delimiter(',');
    app.add_option("--retrainings", options.retrainings,
                   "Batches that a search retrains on in each environment; 0 = as many as the "
                   "policy did in its own")
        ->check(zero_or_more());
    app.add_flag("--own", options.own,
                 "In the environments of a training with the same --seed, not in fresh ones");
    app.add_option("--random-batches", options.random_batches,
                   "Random batches whose mean and standard deviation are the unit")
        ->check(CLI::Range(2, 1 << 20));
    app.add_flag("--sample", options.sample,
                 "Draw batches of the policy, where the likeliest is picked otherwise");
    app.add_option("--draws", options.draws, "Batches drawn of a policy, whose mean counts")
        ->check(above_zero());
    app.add_option("-o,--output", options.output, "File of results to write, as a run's");
}

ReinforceOptions PolicyOptions::reinforce(std::uint64_t seed) const {
    ReinforceOptions chosen = training;
    chosen.picks = picks;
    chosen.seed = seed;
    if (rewards == "retrained") chosen.refresh_every = 0;
    return chosen;
}

TableOptions PolicyOptions::table_options(std::uint64_t environment_seed) const {
    TableOptions chosen = table;
    chosen.seed = environment_seed;
    chosen.least = chosen.most = picks;
    if (!find_head(head).exact) {  // its batches have various sizes
        chosen.least = std::max<std::int64_t>(1, picks / 2);
        chosen.most = std::min(choice.environment.candidates, 2 * picks);
    }
    return chosen;
}

Policy PolicyOptions::untrained(std::int64_t width, std::uint64_t seed) const {
    return make_policy(head, {width, hidden, find_head(head).outputs(picks)}, logit_bound, seed);
}

std::map<std::string, std::string> PolicyOptions::settings(std::uint64_t seed,
                                                           const std::string& checksum,
                                                           const std::string& proxy) const {
    const ReinforceOptions chosen = reinforce(seed);
    // Where the files lie does not matter.
    std::vector<std::string> contents;
    for (const std::string& path : tables) contents.push_back(io::inputs_checksum(path));
    return {
        {"seed", std::to_string(seed)},
        {"environment", checksum},
        {"environments", std::to_string(environments)},
        {"proxy", proxy},
        {"metric", metric},
        {"head", fmt::format("{}, hidden {}, bound {}", head, hidden, logit_bound)},
        {"features", fmt::format("{}", fmt::join(features, ","))},
        {"k", std::to_string(picks)},
        {"updates", std::to_string(chosen.updates)},
        {"rollouts", std::to_string(chosen.rollouts)},
        {"learning-rate", fmt::format("{}", chosen.learning_rate)},
        {"gradient-clip", fmt::format("{}", chosen.gradient_clip)},
        {"baseline", chosen.baseline},
        {"entropy-bonus", fmt::format("{} to {}", chosen.entropy_bonus, chosen.last_entropy_bonus)},
        {"truncation", std::to_string(chosen.truncation)},
        {"replay", std::to_string(chosen.replay)},
        {"tables", fmt::format("{}", fmt::join(contents, ","))},
        {"rewards", rewards == "table" ? fmt::format("table by {}, {} records, {} every {} updates",
                                                     table.estimator, table.records,
                                                     table.refreshed, chosen.refresh_every)
                                       : rewards}};
}

void check_tables(const PolicyOptions& options) {
    THRESHER_CHECK_AS(UsageError,
                      options.tables.empty() || std::ssize(options.tables) == options.environments,
                      "--table names {} files, but --environments is {}; give one of each",
                      options.tables.size(), options.environments);
}

void check_picks(const PolicyOptions& options) {
    THRESHER_CHECK_AS(UsageError, options.picks <= options.choice.environment.candidates,
                      "-k is {}, but an environment has {} candidates; pick fewer, or ask for more "
                      "--candidates",
                      options.picks, options.choice.environment.candidates);
}

void refuse_unused(const Job& job, const PolicyOptions& options) {
    refuse_unused(job, options.choice);
    std::vector<std::string_view> walking;
    for (const Head& head : heads()) {
        if (head.walks) walking.push_back(head.name);
    }
    refuse_unless(find_head(options.head).walks, job, "--truncation",
                  fmt::format("--head {}", fmt::join(walking, ", ")));
    for (const char* option : {"--records", "--refresh-every", "--refreshed", "--estimator"}) {
        refuse_unless(options.rewards == "table", job, option, "--rewards table");
    }
    refuse_unless(options.tables.empty(), job, "--records",
                  "tables that are made here, and --table names those to begin with");
}

void check_policy_options(const PolicyOptions& options) {
    static_cast<void>(find_head(options.head));
    static_cast<void>(find_estimator(options.table.estimator));
    for (const std::string& kind : options.features) static_cast<void>(find_feature_kind(kind));
    check_environment_options(options.choice.environment);
    check_options(options.reinforce(0));
    THRESHER_CHECK_AS(UsageError, options.tables.empty() || options.rewards == "table",
                      "--table is where rewards are looked up; it does not go with --rewards {}",
                      options.rewards);
    check_tables(options);
    check_picks(options);
    static_cast<void>(options.untrained(1, 0));
}

}  // namespace thresher::jobs
