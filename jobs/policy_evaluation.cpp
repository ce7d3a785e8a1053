// What batches of a policy are worth beside those of other choosers: retrained, judged on test
// points that no training in that environment has seen, in units of how much random batches differ.
// Fresh environments share no row with any that a policy is trained in.

#include "jobs/policy_evaluation.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "io/policy_file.hpp"
#include "io/run_directory.hpp"
#include "jobs/options/policy_options.hpp"
#include "jobs/steps/choice.hpp"
#include "jobs/steps/policy_grounds.hpp"
#include "src/base/agreement.hpp"
#include "src/base/check.hpp"
#include "src/base/log.hpp"
#include "src/environments/choosers.hpp"

namespace thresher::jobs {

namespace {

constexpr std::size_t kFacts = 3;  // rows before the gains: of random batches, and labels

/// The gains of one environment: those of the policy, then those of the choosers.
class Judge {
  public:
    Judge(const PolicyOptions& options, const Ground& ground)
        : options_(options),
          ground_(ground),
          metric_(*ground.proxy, options.metric, JudgedOn::test) {
        static_cast<void>(random_of(options.picks));
    }

    double gain_of_policy(const Policy& policy) {
        const bool likeliest = find_head(policy.head).likeliest && !options_.sample;
        const Rollouts drawn = draw_batches(policy, ground_.candidates,
                                            {.rollouts = likeliest ? 1 : options_.draws,
                                             .picks = options_.picks,
                                             .seed = ground_.seed,
                                             .likeliest = likeliest});
        double sum = 0.0, labels = 0.0;
        for (const auto& batch : drawn.picks) {
            sum += gain_of(batch);
            labels += static_cast<double>(batch.size());
        }
        labels_ = labels / static_cast<double>(drawn.picks.size());
        return sum / static_cast<double>(drawn.picks.size());
    }

    double gain_of_chooser(const std::string& name) {
        const Situation situation{ground_.open.environment,      *ground_.proxy, {},
                                  proxy_metric(options_.metric), ground_.seed,   0};
        return gain_of(choose_batch(name, situation, options_.picks));
    }

    const Spread& random() { return random_of(options_.picks); }
    /// The mean number of picks in the policy's batches.
    double labels() const { return labels_; }

  private:
    /// Above random batches of the same size.
    double gain_of(std::span<const std::int32_t> batch) {
        if (std::ssize(batch) == ground_.candidates.rows) return 0.0;  // as every batch of all
        double value = 0.0;
        metric_.evaluate(batch, std::ssize(batch), std::span(&value, 1));
        const Spread& random = random_of(std::ssize(batch));
        return (value - random.mean) / random.deviation;
    }

    const Spread& random_of(std::int64_t size) {
        const auto [found, is_new] = random_.try_emplace(size);
        if (!is_new) return found->second;
        found->second = spread_of(values_of(
            Draw{.rollouts = options_.random_batches, .picks = size, .seed = ground_.seed}));
        THRESHER_CHECK(differ_by_more_than_rounding(found->second),
                       "all of {} random batches of {} have the same {} ({}): there is no unit to "
                       "tell gains in; take more --test-points, or larger batches",
                       options_.random_batches, size, options_.metric, found->second.mean);
        return found->second;
    }

    /// Of random batches: the first candidates of shuffled orders.
    std::vector<double> values_of(const Draw& draw) {
        const std::int64_t n = ground_.candidates.rows;
        const std::vector<std::int32_t> orders = shuffled_orders(n, draw);
        std::vector<std::int32_t> batches;
        for (std::int64_t k = 0; k < draw.rollouts; ++k) {
            batches.insert(batches.end(), orders.begin() + k * n,
                           orders.begin() + k * n + draw.picks);
        }
        std::vector<double> values(static_cast<std::size_t>(draw.rollouts));
        metric_.evaluate(batches, draw.picks, values);
        return values;
    }

    const PolicyOptions& options_;
    const Ground& ground_;
    ProxyMetric metric_;
    std::map<std::int64_t, Spread> random_;  ///< of each size that was asked for
    double labels_ = 0.0;
};

/// [methods, environments], every environment judged by one rank. Collective.
std::vector<std::vector<double>> judge_all(Job& job, const PolicyOptions& options,
                                           const io::TrainedPolicy& trained) {
    Collective& collective = job.collective();
    std::vector<std::vector<double>> gains(
        options.choosers.size() + kFacts + 1,
        std::vector<double>(static_cast<std::size_t>(options.environments)));
    // Environments are made together, and then judged apart, so that no rank waits for another.
    const EnvironmentSource source(job, options.choice);
    std::map<std::int64_t, Ground> own;
    for (std::int64_t i = 0; i < options.environments; ++i) {
        Ground ground =
            make_ground(job, options, source, trained.feature_kinds, options.own ? i : kFresh + i);
        if (i % collective.size() == collective.rank()) own.emplace(i, std::move(ground));
    }
    const auto progress = job.progress("evaluate", options.environments, "environments");
    agree(collective, [&] {
        const auto timer = job.phases().time("evaluate");
        for (const auto& [i, ground] : own) {
            const auto place = static_cast<std::size_t>(i);
            Judge judge(options, ground);
            std::size_t row = 0;
            gains[row++][place] = judge.random().mean;
            gains[row++][place] = judge.random().deviation;
            const double gain = judge.gain_of_policy(trained.policy);
            gains[row++][place] = judge.labels();
            gains[row++][place] = gain;
            for (const std::string& name : options.choosers) {
                gains[row++][place] = judge.gain_of_chooser(name);
            }
            progress->update(i + 1);
        }
    });
    progress->finish();
    // Other ranks have zeros where one has a value, so sums are the values.
    for (std::vector<double>& row : gains) collective.all_reduce_sum(std::span<double>(row));
    return gains;
}

}  // namespace

int evaluate_policy(Job& job) {
    PolicyOptions options;
    add_policy_evaluation_options(job.options(), options);
    job.start();
    for (const std::string& name : options.choosers) check_chooser(name);
    static_cast<void>(proxy_metric(options.metric));
    THRESHER_CHECK_AS(UsageError, options.tables.empty() || options.own,
                      "--table names environments of a training; add --own");
    check_tables(options);
    if (!options.output.empty()) {
        job.check_output(options.output, {options.policy, options.choice.pool.path});
    }
    io::TrainedPolicy trained;
    agree(job.collective(), [&] {
        trained = io::read_policy(options.policy);
        static_cast<void>(find_head(trained.policy.head));
    });
    if (options.picks == 0) options.picks = trained.picks;

    const std::vector<std::vector<double>> gains = judge_all(job, options, trained);
    std::vector<std::string> names{"random_mean", "random_deviation", "labels",
                                   std::string(kPolicy)};
    names.insert(names.end(), options.choosers.begin(), options.choosers.end());
    nlohmann::json facts{{"environments", options.environments}, {"k", options.picks}};
    const auto n = static_cast<double>(options.environments);
    job.print(
        fmt::format("{} {} of batches of {} in {} {} environments, in standard deviations "
                    "of random batches above their mean",
                    options.choice.environment.name, options.metric, options.picks,
                    options.environments, options.own ? "training" : "fresh"));
    const std::vector<double>& of_policy = gains[kFacts];
    io::RunRecord record;
    for (std::size_t row = 0; row < names.size(); ++row) {
        record.curves["environments/" + names[row]] = {{options.environments},
                                                       gains[row],
                                                       names[row],
                                                       row < kFacts ? "" : "SD of random batches"};
        if (row < kFacts) continue;
        const Spread spread = spread_of(gains[row]);
        const double error = n > 1.0 ? spread.deviation / std::sqrt(n - 1.0) : 0.0;
        std::string line =
            fmt::format("  {:<18} {:+.2f} +- {:.2f}", names[row], spread.mean, error);
        facts["gain"][names[row]] = spread.mean;
        if (row > kFacts) {
            double above = 0.0;
            for (std::size_t i = 0; i < of_policy.size(); ++i)
                above += of_policy[i] > gains[row][i];
            line += fmt::format("   the policy is above in {:.0f} %", 100.0 * above / n);
            facts["policy_above"][names[row]] = above / n;
        }
        job.print(line);
    }
    facts["labels"] = spread_of(gains[kFacts - 1]).mean;
    if (!find_head(trained.policy.head).exact) {
        job.print(
            fmt::format("  {} picks {:.1f} on average, and is held against random batches of "
                        "as many; the others pick {}",
                        kPolicy, spread_of(gains[kFacts - 1]).mean, options.picks));
    }
    agree(job.collective(), [&] {
        if (job.is_root() && !options.output.empty()) {
            io::write_run(options.output, record, job.provenance(options.policy));
        }
    });
    job.finish(facts);
    return 0;
}

}  // namespace thresher::jobs
