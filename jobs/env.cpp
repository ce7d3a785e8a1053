// thresher env: games in which batches are chosen, with small learners that are retrained for each.

#include <fmt/ranges.h>

#include <algorithm>
#include <map>

#include "io/run/run_directory.hpp"
#include "jobs/env_games.hpp"
#include "jobs/options/numbers.hpp"
#include "jobs/verbs.hpp"
#include "src/base/agreement.hpp"
#include "src/base/check.hpp"
#include "src/base/log.hpp"
#include "src/base/spread.hpp"
#include "src/environments/choosers.hpp"
#include "src/environments/rewards.hpp"
#include "src/environments/table_plan.hpp"

namespace thresher::jobs {

namespace {

void add_options(CLI::App& app, EnvOptions& options) {
    app.add_option("--action,action", options.action, "run, oracle or influence")
        ->required()
        ->check(CLI::IsMember({"run", "oracle", "influence"}));
    app.add_option("-o,--output", options.output,
                   "File of curves to write, as a run's; oracle writes one where it is given");
    app.add_option(
        "--metric", options.metric,
        "What oracles look at: accuracy or negative-loss; of images average-precision or "
        "negative-loss; the first unless given");
    app.add_option("--choosers", options.choosers,
                   "run: acquisitions and oracles that are compared, and policy")
        ->delimiter(',');
    app.add_option("--policy", options.policy, "run: file that thresher policy train wrote")
        ->check(CLI::ExistingFile);
    app.add_option("--batches", options.batches, "run: labels between two trainings, each of them")
        ->delimiter(',')
        ->check(above_zero());
    app.add_option("--budget", options.budget,
                   "run: labels in all, a multiple of each of --batches");
    app.add_option("--seeds", options.seeds, "run: environments, of seeds that follow --seed")
        ->check(above_zero());
    app.add_option("-b,--batch", options.batch, "oracle: candidates of a batch");
    app.add_option("--samples", options.samples, "oracle: random batches to compare with");
    app.add_option("--reward", options.reward,
                   "oracle: delta, centred, standardised or threshold, of the random batches");
    app.add_option("--reward-threshold", options.threshold,
                   "oracle: of the reward called threshold");
    add_environment_options(app, options.choice);
    add_proxy_options(app, options.choice);
}

/// Metrics of one batch, averaged over trainings.
ProxyMetrics judge(const Proxy& proxy, std::span<const std::int32_t> batch, Part judged_on) {
    return proxy.evaluate_means(batch, std::ssize(batch), judged_on).front();
}

void write_curves(Job& job, const std::string& path, const io::RunRecord& record,
                  const std::string& input) {
    io::write_run(path, record, job.provenance(input));
    log::info("wrote {}", path);
}

int oracle(Job& job, const EnvOptions& options) {
    const RewardShaping& shaping = find_reward_shaping(options.reward);
    const std::int64_t n = options.choice.environment.candidates;
    THRESHER_CHECK_AS(UsageError, options.batch >= 1 && options.batch <= n,
                      "--batch is {}; allowed are 1 to {} (the candidates)", options.batch, n);
    THRESHER_CHECK_AS(UsageError, options.samples >= 2, "--samples is {}; a spread needs 2 or more",
                      options.samples);
    if (!options.output.empty()) job.check_output(options.output);
    const std::uint64_t seed = job.common().seed;
    const OpenEnvironment open = EnvironmentSource(job, options.choice).open(seed);
    nlohmann::json facts;
    agree(job.collective(), [&] {
        if (!job.is_root()) return;
        const auto timer = job.phases().time("oracle");
        const std::unique_ptr<Proxy> made = make_proxy(open, options.choice, seed);
        const Proxy& proxy = *made;
        const std::size_t metric = proxy.metric(options.metric);
        TablePlan plan;
        plan.candidates = n;
        plan.least_size = plan.most_size = options.batch;
        plan.seed = seed;
        std::vector<std::int32_t> batches;
        for (std::int64_t i = 0; i < options.samples; ++i) {
            const auto batch = uniform_subset(plan, i);
            batches.insert(batches.end(), batch.begin(), batch.end());
        }
        const Situation situation{open.environment, proxy, {}, metric, seed, 0};
        const auto best = choose_batch(kGreedyOracle, situation, options.batch);
        const auto singles = choose_batch(kBestSingles, situation, options.batch);
        job.print(fmt::format("{} after batches of {} of {} candidates", options.metric,
                              options.batch, n));
        job.print(fmt::format("{:<14} {:>9} {:>10} {:>10} {:>10} {:>10}   deviations above random",
                              "", "labelled", "random", "deviation", "oracle", "singles"));
        io::RunRecord record;
        for (const auto& [name, judged_on] :
             {std::pair{"reward points", Part::reward}, {"test points", Part::test}}) {
            std::vector<double> values(static_cast<std::size_t>(options.samples));
            proxy.evaluate_mean(batches, options.batch, judged_on, metric, values);
            const double before = judge(proxy, {}, judged_on)[metric];
            const double greedy = judge(proxy, best, judged_on)[metric];
            const double single = judge(proxy, singles, judged_on)[metric];
            const Spread random = spread_of(values);
            job.print(
                fmt::format("{:<14} {:>9.4f} {:>10.4f} {:>10.4f} {:>10.4f} {:>10.4f}   oracle "
                            "{:+.1f}, best singles {:+.1f}",
                            name, before, random.mean, random.deviation, greedy, single,
                            (greedy - random.mean) / random.deviation,
                            (single - random.mean) / random.deviation));
            facts[name] = {{"labelled", before},
                           {"random", random.mean},
                           {"deviation", random.deviation},
                           {"oracle", greedy},
                           {"best_singles", single}};
            if (judged_on != Part::reward) continue;
            std::vector<double> rewards = shaping.shape(values, before, options.threshold);
            record.curves["rewards"] = {{options.samples},
                                        rewards,
                                        fmt::format("{} of random batches", shaping.description),
                                        ""};
            std::sort(rewards.begin(), rewards.end());
            job.print(fmt::format("  reward {} of random batches: {:.4f} to {:.4f}, median {:.4f}",
                                  shaping.name, rewards.front(), rewards.back(),
                                  rewards[rewards.size() / 2]));
        }
        std::vector<std::int64_t> ids;
        for (const std::int32_t candidate : best) {
            ids.push_back(open.ids[static_cast<std::size_t>(candidate)]);
        }
        job.print(fmt::format("best single candidate: id {}; the oracle's batch: {}", ids.front(),
                              fmt::join(ids, ", ")));
        job.print(
            "the greedy oracle sees the rewards, but is no upper bound: it never takes back a "
            "pick");
        record.batches["oracle"] = ids;
        facts["batch"] = ids;
        if (!options.output.empty()) {
            write_curves(job, options.output, record, options.choice.pool.path);
        }
    });
    job.finish(facts);
    return 0;
}

int influence(Job& job, const EnvOptions& options) {
    THRESHER_CHECK_AS(UsageError, !options.output.empty(),
                      "--output is missing; give the file to write");
    job.check_output(options.output);
    const std::uint64_t seed = job.common().seed;
    const OpenEnvironment open = EnvironmentSource(job, options.choice).open(seed);
    const Environment& environment = open.environment;
    Collective& collective = job.collective();
    const std::int64_t n = environment.candidates.rows, ranks = collective.size();
    struct Effect {
        const char* name;
        const char* description;
        Part judged_on;
        std::size_t metric;
        double sign;
    };
    constexpr std::array kEffects{
        Effect{"train_loss", "change of the mean loss on the labelled points", Part::labelled, 1,
               -1.0},
        Effect{"reward_accuracy", "change of the accuracy on the reward points", Part::reward, 0,
               1.0},
        Effect{"test_loss", "change of the mean loss on the test points", Part::test, 1, -1.0},
        Effect{"test_accuracy", "change of the accuracy on the test points", Part::test, 0, 1.0}};
    // Every rank labels its share of the candidates, one at a time.
    std::vector<double> own;
    agree(collective, [&] {
        const auto timer = job.phases().time("retrain");
        const std::unique_ptr<Proxy> made = make_proxy(open, options.choice, seed);
        const Proxy& proxy = *made;
        std::vector<std::int32_t> singles;
        for (std::int64_t i = n * collective.rank() / ranks;
             i < n * (collective.rank() + 1) / ranks; ++i) {
            singles.push_back(static_cast<std::int32_t>(i));
        }
        std::map<Part, std::vector<ProxyMetrics>> found;
        for (const Part on : {Part::labelled, Part::reward, Part::test}) {
            if (!singles.empty()) found[on] = proxy.evaluate_means(singles, 1, on);
        }
        for (const Effect& effect : kEffects) {
            const double before = judge(proxy, {}, effect.judged_on)[effect.metric];
            for (const ProxyMetrics& after : found[effect.judged_on]) {
                own.push_back(effect.sign * (after[effect.metric] - before));
            }
        }
    });
    const Gathered<double> all = collective.gather_v<double>(own);
    nlohmann::json facts;
    agree(collective, [&] {
        if (!job.is_root()) return;
        io::RunRecord record;
        job.print(fmt::format("effect of labelling one of {} candidates", n));
        for (std::size_t e = 0; e < kEffects.size(); ++e) {
            io::Curve curve{{n}, {}, kEffects[e].description, ""};
            for (int rank = 0; rank < collective.size(); ++rank) {
                const auto of_rank = all.of(rank);
                const std::size_t count = of_rank.size() / kEffects.size();
                const auto part = of_rank.subspan(e * count, count);
                curve.values.insert(curve.values.end(), part.begin(), part.end());
            }
            const auto [least, most] =
                std::minmax_element(curve.values.begin(), curve.values.end());
            job.print(fmt::format(
                "  {:<16} {:+.5f} on average, {:+.5f} (candidate {}) to {:+.5f} (candidate {})",
                kEffects[e].name, spread_of(curve.values).mean, *least,
                least - curve.values.begin(), *most, most - curve.values.begin()));
            facts[kEffects[e].name] = spread_of(curve.values).mean;
            record.curves[std::string("influence/") + kEffects[e].name] = std::move(curve);
        }
        const auto column = [&](const char* name, const char* description, const auto& value) {
            io::Curve curve{{n}, {}, description, ""};
            for (std::int64_t i = 0; i < n; ++i)
                curve.values.push_back(value(static_cast<std::size_t>(i)));
            record.curves[std::string("candidates/") + name] = std::move(curve);
        };
        const auto d = static_cast<std::size_t>(environment.dimensions);
        const Points& candidates = environment.candidates;
        column("x", "first feature of the candidate",
               [&](std::size_t i) { return double{candidates.features[i * d]}; });
        column("y", "second feature of the candidate", [&](std::size_t i) {
            return double{candidates.features[i * d + std::min<std::size_t>(1, d - 1)]};
        });
        column("target", "class of the candidate",
               [&](std::size_t i) { return static_cast<double>(candidates.targets[i]); });
        column("id", "id of the candidate",
               [&](std::size_t i) { return static_cast<double>(open.ids[i]); });
        write_curves(job, options.output, record, options.choice.pool.path);
    });
    job.finish(facts);
    return 0;
}

}  // namespace

int run_env(Job& job) {
    EnvOptions options;
    add_options(job.options(), options);
    job.start();
    if (options.metric.empty()) options.metric = options.choice.metric();
    refuse_unused(job, options.choice);
    if (options.action == "run") return play_games(job, options);
    if (options.action == "oracle") return oracle(job, options);
    return influence(job, options);
}

}  // namespace thresher::jobs
