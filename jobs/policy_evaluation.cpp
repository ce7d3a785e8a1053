// What batches of a policy are worth beside those of other choosers: retrained, judged on test
// points that no training in that environment has seen, in units of how much random batches differ.
// Fresh environments share no row with any that a policy is trained in.

#include "jobs/policy_evaluation.hpp"

#include <algorithm>
#include <cmath>
#include <map>

#include "io/run/run_directory.hpp"
#include "jobs/steps/choice/choice.hpp"
#include "jobs/steps/policy/candidate_curves.hpp"
#include "jobs/steps/policy/estimate_fidelity.hpp"
#include "jobs/steps/policy/policy_judge.hpp"
#include "src/base/agreement.hpp"
#include "src/base/check.hpp"
#include "src/base/log.hpp"
#include "src/environments/choosers.hpp"

namespace thresher::jobs {

namespace {

/// Of every environment [E], and of every method, of which the policy is the first, [M][E].
struct Findings {
    std::vector<double> random_mean, random_deviation, labels;
    std::vector<std::vector<double>> gains;
    std::vector<std::vector<double>> picks;  ///< [M][E, b]; -1 where a batch is shorter
    io::RunRecord record;  ///< candidates at the root, and what estimates of --table are worth
};

/// Retrainings that a search may spend in an environment.
std::int64_t retrainings_of(const PolicyOptions& options, const io::TrainedPolicy& trained) {
    const bool any = std::any_of(options.choosers.begin(), options.choosers.end(), is_search);
    const std::int64_t count = options.retrainings > 0 ? options.retrainings : trained.retrainings;
    THRESHER_CHECK_AS(UsageError, !any || count >= 4,
                      "{} and {} spend as many retrainings as the policy had, which {} puts at {}; "
                      "give 4 or more with --retrainings",
                      kBestOfTable, kSearch, options.policy, count);
    return count;
}

/// Throws UsageError unless environment `number` is one that the policy was trained in.
void check_own(const PolicyOptions& options, const io::TrainedPolicy& trained, std::int64_t number,
               const std::string& checksum) {
    const std::vector<std::string>& known = trained.environment_checksums;
    if (known.empty()) return;
    THRESHER_CHECK_AS(
        UsageError, number < std::ssize(known),
        "--own is in environments of the training, of which {} had {}; --environments "
        "is {}",
        options.policy, known.size(), options.environments);
    THRESHER_CHECK_AS(UsageError, known[static_cast<std::size_t>(number)] == checksum,
                      "environment {} is not the one that {} was trained in; give the --seed and "
                      "the options of the environment that its training had, or leave --own out",
                      number, options.policy);
}

/// Every environment judged by one rank. Collective.
Findings judge_all(Job& job, const PolicyOptions& options, const io::TrainedPolicy& trained) {
    Collective& collective = job.collective();
    const std::int64_t retrainings = retrainings_of(options, trained);
    const auto environments = static_cast<std::size_t>(options.environments);
    const auto width = static_cast<std::size_t>(options.picks);
    const std::size_t methods = options.choosers.size() + 1;
    const std::vector<double> none(environments);
    Findings found{
        none, none, none, {methods, none}, {methods, std::vector<double>(environments * width)},
        {}};
    // Environments are made together, and then judged apart, so that no rank waits for another.
    const EnvironmentSource source(job, options.choice);
    std::map<std::int64_t, Ground> own;
    for (std::int64_t i = 0; i < options.environments; ++i) {
        Ground ground =
            make_ground(job, options, source, trained.feature_kinds, options.own ? i : kFresh + i);
        if (options.own) check_own(options, trained, i, ground.open.checksum);
        if (job.is_root()) add_candidates(ground.open, found.record);
        if (ground.built && find_head(trained.policy.head).exact) {
            give_table(job, ground, options);
            compare_estimates(ground, trained.policy, options.picks, found.record);
        }
        if (i % collective.size() == collective.rank()) own.emplace(i, std::move(ground));
    }
    const auto progress = job.progress("evaluate", options.environments, "environments");
    agree(collective, [&] {
        const auto timer = job.phases().time("evaluate");
        for (const auto& [i, ground] : own) {
            give_up_if_others_failed(collective);
            const auto place = static_cast<std::size_t>(i);
            PolicyJudge judge(options, ground);
            found.random_mean[place] = judge.random().mean;
            found.random_deviation[place] = judge.random().deviation;
            for (std::size_t m = 0; m < methods; ++m) {
                const Judged judged = m == 0 ? judge.policy(trained.policy)
                                             : judge.method(options.choosers[m - 1], retrainings);
                if (m == 0) found.labels[place] = judged.labels;
                found.gains[m][place] = judged.gain;
                for (std::size_t p = 0; p < width; ++p) {
                    found.picks[m][place * width + p] =
                        p < judged.picks.size() ? static_cast<double>(judged.picks[p]) : -1.0;
                }
            }
            progress->update(i + 1);
        }
    });
    progress->finish();
    // Other ranks have zeros where one has a value, so sums are the values.
    const auto share = [&](std::vector<double>& row) {
        collective.all_reduce_sum(std::span<double>(row));
    };
    for (auto* row : {&found.random_mean, &found.random_deviation, &found.labels}) share(*row);
    for (auto& row : found.gains) share(row);
    for (auto& row : found.picks) share(row);
    return found;
}

io::RunRecord to_record(const PolicyOptions& options, const std::vector<std::string>& methods,
                        Findings found) {
    io::RunRecord record = std::move(found.record);
    const std::int64_t e = options.environments;
    const auto add = [&](const std::string& name, std::vector<double> values, const char* unit) {
        record.curves["environments/" + name] = {{e}, std::move(values), name, unit};
    };
    add("random_mean", found.random_mean, "");
    add("random_deviation", found.random_deviation, "");
    add("labels", found.labels, "");
    for (std::size_t m = 0; m < methods.size(); ++m) {
        add(methods[m], found.gains[m], "SD of random batches");
        record.curves["picks/" + methods[m]] = {
            {e, options.picks},
            found.picks[m],
            "candidates of the (first) batch in pick order, from 0; -1 where it is shorter",
            ""};
    }
    return record;
}

/// Prints how the methods compare; returns the same for --json.
nlohmann::json report(Job& job, const PolicyOptions& options, const io::TrainedPolicy& trained,
                      const std::vector<std::string>& methods, const Findings& found) {
    nlohmann::json facts{{"environments", options.environments}, {"k", options.picks}};
    const auto n = static_cast<double>(options.environments);
    job.print(
        fmt::format("{} {} of batches of {} in {} {} environments, in standard deviations "
                    "of random batches above their mean",
                    options.choice.environment.name, options.metric, options.picks,
                    options.environments, options.own ? "training" : "fresh"));
    for (std::size_t m = 0; m < methods.size(); ++m) {
        const Spread spread = spread_of(found.gains[m]);
        const double error = n > 1.0 ? spread.deviation / std::sqrt(n - 1.0) : 0.0;
        std::string line =
            fmt::format("  {:<18} {:+.2f} +- {:.2f}", methods[m], spread.mean, error);
        facts["gain"][methods[m]] = spread.mean;
        if (m > 0) {
            double above = 0.0;
            for (std::size_t i = 0; i < found.gains[m].size(); ++i)
                above += found.gains[0][i] > found.gains[m][i];
            line += fmt::format("   the policy is above in {:.0f} %", 100.0 * above / n);
            facts["policy_above"][methods[m]] = above / n;
        }
        job.print(line);
    }
    const double labels = spread_of(found.labels).mean;
    facts["labels"] = labels;
    if (!find_head(trained.policy.head).exact) {
        job.print(
            fmt::format("  {} picks {:.1f} on average, and is held against random batches of "
                        "as many; the others pick {}",
                        kPolicy, labels, options.picks));
    }
    if (const auto correlations = rank_correlations(found.record); !correlations.empty()) {
        job.print("  " + described(correlations));
        facts["rank_correlation"] = correlations;
    }
    const auto compared = [&](std::string_view name) {
        return std::find(methods.begin(), methods.end(), name) != methods.end();
    };
    if (compared(kGreedyOracle)) {
        job.print(fmt::format(
            "  {} sees the rewards of what it adds, one after the other, on the reward points; "
            "judged on the test points as all are, it is no upper bound",
            kGreedyOracle));
    }
    if (compared(kBestOfTable) || compared(kSearch)) {
        const std::int64_t retrainings = retrainings_of(options, trained);
        job.print(fmt::format(
            "  {} and {} retrain on {} batches of each environment; the policy {}", kBestOfTable,
            kSearch, retrainings, options.own ? "did so in training" : "on none of a fresh one"));
        facts["retrainings"] = retrainings;
    }
    return facts;
}

}  // namespace

int evaluate_policy(Job& job) {
    PolicyOptions options;
    add_policy_evaluation_options(job.options(), options);
    job.start();
    if (options.metric.empty()) options.metric = options.choice.metric();
    refuse_unused(job, options.choice);
    for (const std::string& name : options.choosers) check_chooser_or_search(name);
    THRESHER_CHECK_AS(UsageError, options.tables.empty() || options.own,
                      "--table names environments of a training; add --own");
    THRESHER_CHECK_AS(
        UsageError,
        (options.choice.rows.empty() && options.choice.labelled_rows.empty()) || options.own,
        "{} names rows of a training, so no environment with them is fresh; add --own",
        options.choice.rows.empty() ? "--labelled-rows" : "--rows");
    check_tables(options);
    if (!options.output.empty()) {
        job.check_output(options.output);
    }
    io::TrainedPolicy trained;
    agree(job.collective(), [&] {
        trained = io::read_policy(options.policy);
        static_cast<void>(find_head(trained.policy.head));
    });
    if (options.picks == 0) options.picks = trained.picks;
    check_picks(options);
    if (options.own && trained.environment_checksums.empty()) {
        log::warn("{} does not say what it was trained in, so --own goes by the options alone",
                  options.policy);
    }

    Findings found = judge_all(job, options, trained);
    std::vector<std::string> methods{std::string(kPolicy)};
    methods.insert(methods.end(), options.choosers.begin(), options.choosers.end());
    const nlohmann::json facts = report(job, options, trained, methods, found);
    agree(job.collective(), [&] {
        if (job.is_root() && !options.output.empty()) {
            io::write_run(options.output, to_record(options, methods, std::move(found)),
                          job.provenance(options.policy));
        }
    });
    job.finish(facts);
    return 0;
}

}  // namespace thresher::jobs
