// thresher table: what batches are worth, by retraining on many of them, and how well that can be
// estimated for the others.

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <numeric>
#include <optional>

#include "io/lookup_table_file.hpp"
#include "jobs/options/environment_options.hpp"
#include "jobs/steps/policy/table_builder.hpp"
#include "jobs/verbs.hpp"
#include "src/base/agreement.hpp"
#include "src/base/check.hpp"
#include "src/base/log.hpp"
#include "src/base/spread.hpp"
#include "src/base/stop_flag.hpp"
#include "src/environments/record_workers.hpp"
#include "src/environments/table_plan.hpp"
#include "src/policy/lookup_table/table_check.hpp"
#include "src/policy/lookup_table/table_trust.hpp"

namespace thresher::jobs {

namespace {

struct Options {
    std::string action, output, size = "10", shard, metric, weights = "inverse-distance";
    std::string against;
    std::vector<std::string> tables, estimators;
    EnvironmentChoice choice;
    TablePlan plan;
    EstimatorOptions estimator;
};

void add_options(CLI::App& app, Options& options) {
    app.add_option("--action,action", options.action, "build, merge, check or info")
        ->required()
        ->check(CLI::IsMember({"build", "merge", "check", "info"}));
    app.add_option("--tables,tables", options.tables, "merge, check, info: table files");
    app.add_option("-o,--output", options.output, "build, merge: table to write");
    app.add_option("--records", options.plan.records, "build: subsets to retrain on");
    app.add_option("--subset-size", options.size,
                   "build: candidates of a subset, or a range such as 5-20");
    app.add_option("--stratified", options.plan.stratified,
                   "build: share of the records whose make-up by classes is drawn first, from all "
                   "there are, so that lopsided batches are known too");
    app.add_option("--near", options.plan.near,
                   "build: share of the records that are mutations of the best others");
    app.add_option("--shard", options.shard,
                   "build: i/n, one of n parts counted from 0, to be merged");
    app.add_option(
        "--metric", options.metric,
        "check, and what --near goes by: accuracy or negative-loss; of images average-precision "
        "or negative-loss; the first unless given");
    app.add_option("--against", options.against,
                   "check: a table of the same subsets by another proxy, such as --proxy-full");
    app.add_option("--estimators", options.estimators, "check: which; none given: all")
        ->delimiter(',');
    app.add_option("--neighbours", options.estimator.neighbours,
                   "check, knn: nearest records; 0 = a fifth of them");
    app.add_option("--neighbour-weights", options.weights,
                   "check, knn: inverse-distance or softmax")
        ->check(CLI::IsMember({"inverse-distance", "softmax"}));
    app.add_flag("!--no-rescale", options.estimator.rescale,
                 "check, knn: leave the spread of the estimates as shrunk as it is");
    add_environment_options(app, options.choice);
    add_proxy_options(app, options.choice);
}

/// "a" or "a<separator>b" as two numbers. Throws UsageError.
std::pair<std::int64_t, std::int64_t> two_numbers(const char* option, const std::string& text,
                                                  char separator, const char* example) {
    const auto number = [&](std::string_view part) {
        std::int64_t value = 0;
        const auto read = std::from_chars(part.data(), part.data() + part.size(), value);
        THRESHER_CHECK_AS(UsageError,
                          read.ec == std::errc{} && read.ptr == part.data() + part.size(),
                          "{} {}: not understood; write it as in {}", option, text, example);
        return value;
    };
    const std::size_t at = text.find(separator);
    if (at == std::string::npos) return {number(text), number(text)};
    return {number(std::string_view(text).substr(0, at)),
            number(std::string_view(text).substr(at + 1))};
}

TablePlan plan_of(const Options& options, std::uint64_t seed) {
    TablePlan plan = options.plan;
    plan.seed = seed;
    plan.candidates = options.choice.environment.candidates;
    std::tie(plan.least_size, plan.most_size) =
        two_numbers("--subset-size", options.size, '-', "10 or 5-20");
    if (!options.shard.empty()) {
        THRESHER_CHECK_AS(UsageError, options.shard.find('/') != std::string::npos,
                          "--shard {}: not understood; write it as in 0/4", options.shard);
        std::tie(plan.shard, plan.shards) = two_numbers("--shard", options.shard, '/', "0/4");
    }
    check_plan(plan);
    return plan;
}

/// How the metric is spread over the records, in words. Throws as usable_records().
std::string describe_metric(const LookupTable& table, const std::string& metric) {
    const UsableRecords usable = usable_records(table, metric);
    const Spread found = spread_of(usable.values);
    return fmt::format(
        "{} {:.4f} +- {:.4f}, best {:.4f}{}", metric, found.mean, found.deviation,
        *std::max_element(usable.values.begin(), usable.values.end()),
        usable.quarantined > 0 ? fmt::format(", {} records quarantined", usable.quarantined) : "");
}

/// Whether subsets differ by more than seeds do, or why that cannot be told.
std::string describe_trust(const LookupTable& table, const std::string& metric) {
    TableSpread spread;
    try {
        spread = table_spread(table, metric);
    } catch (const Error& error) {
        return error.what();
    }
    if (!spread.known()) {
        return fmt::format(
            "{}: one training of each subset, so what is noise is not known; build "
            "with --trainings 2 or more",
            metric);
    }
    return fmt::format(
        "{}: deviation over subsets {:.4f}, over seeds {:.4f}, reliability {:.2f}; "
        "the table is {}",
        metric, spread.over_subsets, spread.over_seeds, spread.reliability,
        spread.informative() ? "informative"
                             : "not informative: seeds differ by more than subsets do");
}

/// How the metrics go with what costs no training, and with those of another table.
void print_fidelity(const Job& job, const LookupTable& table, const std::string& against,
                    nlohmann::json& facts) {
    for (const auto& [metric, values] : table.metrics) {
        const std::optional<TableAgreement> found = compare_with_coverage(table, metric);
        if (!found) continue;
        facts["class_coverage"][metric] = found->rank_correlation;
        job.print(
            fmt::format("class coverage, which knows the labels, goes with {} by a rank "
                        "correlation of {:.2f}",
                        metric, found->rank_correlation));
    }
    if (against.empty()) return;
    const LookupTable other = io::read_lookup_table(against);
    job.print(fmt::format("\nagainst {} ({})", against, other.proxy));
    for (const auto& [metric, values] : table.metrics) {
        for (const auto& [other_metric, other_values] : other.metrics) {
            const TableAgreement found = compare_tables(table, metric, other, other_metric);
            facts["against"][metric][other_metric] = found.rank_correlation;
            job.print(
                fmt::format("  {:<18} with its {:<18} rank correlation {:>5.2f} over {} "
                            "subsets",
                            metric, other_metric, found.rank_correlation, found.records));
        }
    }
}

/// The same, or why there is nothing to estimate from.
std::string metric_or_reason(const LookupTable& table, const std::string& metric) {
    try {
        return describe_metric(table, metric);
    } catch (const Error& error) {
        return error.what();
    }
}

int build(Job& job, const Options& options) {
    install_stop_signals();
    refuse_unused(job, options.choice);
    const std::uint64_t seed = job.common().seed;
    const TablePlan plan = plan_of(options, seed);
    THRESHER_CHECK_AS(UsageError, !options.output.empty(),
                      "--output is missing; give the table to write");
    job.check_output(options.output);
    const OpenEnvironment open = EnvironmentSource(job, options.choice).open(seed);
    std::unique_ptr<Proxy> proxy;
    agree(job.collective(), [&] {
        proxy = make_proxy(open, options.choice, seed);
        static_cast<void>(proxy->metric(options.metric));
    });
    const auto messages =
        job.collective().size() > 1 ? job.messages(RecordWorkers::kMostUnsent) : nullptr;
    const auto judge = [&](std::int64_t, std::span<const std::int32_t> subsets, std::int64_t size,
                           std::span<double> metrics) {
        proxy->evaluate(subsets, size, Part::reward, metrics);
    };
    nlohmann::json facts;
    agree(job.collective(), [&] {
        RecordWorkers workers(judge, proxy->repeats() * std::ssize(proxy->metric_names()),
                              messages.get(), job.collective());
        if (!job.is_root()) return workers.serve();
        const auto timer = job.phases().time("retrain");
        TableBuilder builder(job, options.output, options.metric, plan, open, *proxy);
        const LookupTable table = builder.build(workers);
        io::write_lookup_table(options.output, table, job.provenance(options.choice.pool.path),
                               job.overwrite());
        builder.finish();
        const double seconds = std::accumulate(table.seconds.begin(), table.seconds.end(), 0.0);
        log::info("{} records, {:.3f} ms each, ranks busy {:.0f} % of the time, wrote {}",
                  table.size(), 1e3 * seconds / static_cast<double>(table.size()),
                  100.0 * workers.busy_share(), options.output);
        for (const auto& [metric, values] : table.metrics) {
            job.print(metric_or_reason(table, metric));
            if (table.size() >= 2) job.print("  " + describe_trust(table, metric));
        }
        facts = {{"records", table.size()},
                 {"seconds_a_record", seconds / static_cast<double>(table.size())},
                 {"busy_share", workers.busy_share()}};
    });
    if (messages) messages->close();
    job.finish(facts);
    return 0;
}

/// One table from all files. Throws Error naming the file that does not go with those before.
LookupTable merge_files(const std::vector<std::string>& paths) {
    THRESHER_CHECK_AS(UsageError, !paths.empty(), "name the table to read");
    LookupTable table = io::read_lookup_table(paths.front());
    for (std::size_t i = 1; i < paths.size(); ++i) {
        const LookupTable part = io::read_lookup_table(paths[i]);
        try {
            merge_into(table, part);
        } catch (const Error& error) {
            fail<Error>("{}: {}", paths[i], error.what());
        }
    }
    return table;
}

int merge(Job& job, const Options& options) {
    THRESHER_CHECK_AS(UsageError, !options.tables.empty() && !options.output.empty(),
                      "table merge needs tables and --output");
    job.check_output(options.output);
    nlohmann::json facts;
    agree(job.collective(), [&] {
        if (!job.is_root()) return;
        const LookupTable table = merge_files(options.tables);
        io::write_lookup_table(options.output, table, job.provenance(options.tables.front()),
                               job.overwrite());
        log::info("{} records of {} tables, wrote {}", table.size(), options.tables.size(),
                  options.output);
        facts = {{"records", table.size()}};
    });
    job.finish(facts);
    return 0;
}

int check(Job& job, Options options) {
    if (options.estimators.empty()) {
        for (const EstimatorInfo& info : estimators()) options.estimators.emplace_back(info.name);
    }
    for (const std::string& name : options.estimators) static_cast<void>(find_estimator(name));
    options.estimator.weights = options.weights == "softmax" ? NeighbourWeights::softmax
                                                             : NeighbourWeights::inverse_distance;
    nlohmann::json facts;
    agree(job.collective(), [&] {
        if (!job.is_root()) return;
        const LookupTable table = merge_files(options.tables);
        if (options.metric.empty()) {
            options.metric = table.metrics.contains("accuracy") ? "accuracy" : "average-precision";
        }
        const auto checks =
            check_table(table, options.metric, options.estimators, make_items(table.facts),
                        options.estimator, job.common().seed);
        job.print(fmt::format("{} records of {} candidates: {}", table.size(),
                              table.subsets.candidates(), describe_metric(table, options.metric)));
        job.print(fmt::format("\n{:<10} {:>8} {:>7} {:>9} {:>10} {:>9} {:>9} {:>6} {:>9} {:>9}",
                              "estimator", "records", "size", "error", "of mean", "ratio", "rank r",
                              "r", "within 1", "within 2"));
        std::string summaries;
        for (const EstimatorCheck& check : checks) {
            const std::string size = check.least_size == check.most_size
                                         ? fmt::format("{}", check.most_size)
                                         : fmt::format("{}-{}", check.least_size, check.most_size);
            const double ratio = check.mean_error / check.mean_error_of_mean;
            job.print(
                fmt::format("{:<10} {:>8} {:>7} {:>9.5f} {:>10.5f} {:>9.2f} {:>9.2f} {:>6.2f} "
                            "{:>7.0f} % {:>7.0f} %",
                            check.estimator, check.records, size, check.mean_error,
                            check.mean_error_of_mean, ratio, check.rank_correlation,
                            check.correlation, 100.0 * check.within_1, 100.0 * check.within_2));
            facts["checks"].push_back({{"estimator", check.estimator},
                                       {"records", check.records},
                                       {"least_size", check.least_size},
                                       {"most_size", check.most_size},
                                       {"held_out", check.held_out},
                                       {"mean_error", check.mean_error},
                                       {"mean_error_of_mean", check.mean_error_of_mean},
                                       {"rank_correlation", check.rank_correlation},
                                       {"correlation", check.correlation},
                                       {"within_1", check.within_1},
                                       {"within_2", check.within_2},
                                       {"summary", check.summary}});
            const std::string line = fmt::format("\n  {:<8} {}", check.estimator, check.summary);
            if (summaries.find(line) == std::string::npos) summaries += line;
        }
        job.print(
            "\nerror: mean absolute error on records held out; of mean: that of predicting the "
            "mean; within: shares within 1 and 2 deviations (68 and 95 % where these hold)");
        job.print("\nfitted:" + summaries + "\n");
        for (const auto& [metric, values] : table.metrics) {
            job.print(describe_trust(table, metric));
        }
        print_fidelity(job, table, options.against, facts);
    });
    job.finish(facts);
    return 0;
}

int info(Job& job, const Options& options) {
    nlohmann::json facts;
    agree(job.collective(), [&] {
        if (!job.is_root()) return;
        const LookupTable table = merge_files(options.tables);
        std::map<std::int64_t, std::int64_t> sizes;
        for (std::int64_t i = 0; i < table.size(); ++i) ++sizes[table.subsets.members_count(i)];
        job.print(fmt::format("{} records of {} candidates, {} training{} each", table.size(),
                              table.subsets.candidates(), table.repeats,
                              table.repeats == 1 ? "" : "s"));
        for (const auto& [metric, values] : table.metrics) {
            job.print("  " + metric_or_reason(table, metric));
            job.print("  " + describe_trust(table, metric));
        }
        for (const auto& [size, count] : sizes) {
            job.print(fmt::format("  {} candidates: {} records", size, count));
            facts["sizes"][std::to_string(size)] = count;
        }
        job.print("  proxy: " + table.proxy);
        facts["records"] = table.size();
    });
    job.finish(facts);
    return 0;
}

}  // namespace

int run_table(Job& job) {
    Options options;
    add_options(job.options(), options);
    job.start();
    if (options.action == "build") {
        if (options.metric.empty()) options.metric = options.choice.metric();
        return build(job, options);
    }
    if (options.action == "merge") return merge(job, options);
    if (options.action == "check") return check(job, options);
    return info(job, options);
}

}  // namespace thresher::jobs
