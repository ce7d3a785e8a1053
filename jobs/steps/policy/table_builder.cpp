#include "jobs/steps/policy/table_builder.hpp"

#include <algorithm>
#include <cmath>

#include "src/base/check.hpp"
#include "src/base/log.hpp"
#include "src/base/stop_flag.hpp"

namespace thresher::jobs {

namespace {

/// The best tenth of the records before them is what mutations are made of.
constexpr double kGoodShare = 0.1;

double mean_of(const io::RecordLog::Record& record, std::size_t metric, std::int64_t repeats) {
    double sum = 0.0;
    for (std::size_t i = metric; i < record.metrics.size(); i += kProxyMetrics) {
        sum += record.metrics[i];
    }
    return sum / static_cast<double>(repeats);
}

}  // namespace

TableBuilder::TableBuilder(Job& job, const std::string& output, const std::string& metric,
                           const TablePlan& plan, const OpenEnvironment& open, const Proxy& proxy)
    : job_(job),
      metric_(metric),
      plan_(plan),
      open_(open),
      proxy_(proxy),
      metrics_each_(proxy.repeats() * std::ssize(proxy.metric_names())),
      log_(output + ".records",
           fmt::format("{}; {}; {} records of {} to {}, {}near {} by {}, shard {}/{}, seed {}",
                       open.checksum, proxy.describe(), plan.records, plan.least_size,
                       plan.most_size,
                       plan.stratified > 0.0 ? fmt::format("stratified {}, ", plan.stratified) : "",
                       plan.near, metric, plan.shard, plan.shards, plan.seed),
           metrics_each_) {
    if (plan.stratified > 0.0) strata_.emplace(plan, label_counts_of(open));
}

LookupTable TableBuilder::build(RecordWorkers& workers) {
    for (const std::int64_t number : plan_.numbers()) {
        (number < plan_.drawn_records() ? drawn_ : near_).push_back(number);
    }
    const auto all = std::ssize(drawn_) + std::ssize(near_);
    progress_ = job_.progress("table", all, "records");
    if (!log_.records().empty()) {
        log::info("resumed: {} of {} records are there", log_.records().size(), all);
    }
    for (const std::int64_t number : drawn_) subsets_[number] = drawn_subset(number);
    retrain(workers, drawn_);
    if (!near_.empty()) {
        const auto good = good_subsets();
        for (const std::int64_t number : near_) {
            subsets_[number] = mutated_subset(plan_, number, good);
        }
        retrain(workers, near_);
    }
    progress_->finish();
    return table();
}

std::vector<std::int32_t> TableBuilder::drawn_subset(std::int64_t number) const {
    return number < plan_.uniform_records() ? uniform_subset(plan_, number)
                                            : strata_->subset(number);
}

void TableBuilder::retrain(RecordWorkers& workers, const std::vector<std::int64_t>& numbers) {
    std::vector<std::int64_t> missing;
    for (const std::int64_t number : numbers) {
        if (!log_.records().contains(number)) missing.push_back(number);
    }
    std::vector<std::int32_t> subsets;
    for (const std::int64_t number : missing) {
        const auto& own = subsets_.at(number);
        subsets.insert(subsets.end(), own.begin(), own.end());
    }
    std::vector<double> metrics(missing.size() * static_cast<std::size_t>(metrics_each_));
    const auto part = [](auto& values, std::int64_t first, std::int64_t count) {
        return std::span(values).subspan(static_cast<std::size_t>(first),
                                         static_cast<std::size_t>(count));
    };
    const bool all = workers.evaluate(
        0, subsets, plan_.most_size, metrics,
        [&](std::int64_t first, std::int64_t done, double seconds) {
            log_.append(part(missing, first, done),
                        part(metrics, first * metrics_each_, done * metrics_each_), seconds);
            progress_->update(std::ssize(log_.records()));
            return !stop_requested();
        });
    if (all) return;
    throw Requeue("asked to stop: the records so far are kept; run the same command to go on");
}

std::vector<std::vector<std::int32_t>> TableBuilder::good_subsets() const {
    const std::size_t metric = proxy_.metric(metric_);
    std::vector<ScoredId> order;
    for (const std::int64_t number : drawn_) {
        const double value = mean_of(log_.records().at(number), metric, proxy_.repeats());
        if (std::isfinite(value)) order.push_back({value, number});
    }
    THRESHER_CHECK(!order.empty(), "no record has a finite {}; there is nothing to mutate",
                   metric_);
    std::sort(order.begin(), order.end(),
              [](const ScoredId& a, const ScoredId& b) { return a.before(b); });
    const auto count = std::max<std::size_t>(
        1, static_cast<std::size_t>(kGoodShare * static_cast<double>(order.size())));
    std::vector<std::vector<std::int32_t>> good;
    for (std::size_t i = 0; i < count; ++i) good.push_back(subsets_.at(order[i].id));
    return good;
}

LookupTable TableBuilder::table() const {
    LookupTable table(plan_.candidates);
    table.ids = open_.ids;
    table.repeats = proxy_.repeats();
    table.candidates_checksum = open_.checksum;
    table.proxy = proxy_.describe();
    table.facts = facts_of(open_, proxy_);
    for (const auto& [number, subset] : subsets_) {
        const io::RecordLog::Record& record = log_.records().at(number);
        table.subsets.add(subset);
        table.numbers.push_back(number);
        table.seeds.push_back(plan_.seed);
        table.seconds.push_back(record.seconds);
        for (std::size_t i = 0; i < record.metrics.size(); ++i) {
            table.metrics[std::string(proxy_.metric_names()[i % kProxyMetrics])].push_back(
                record.metrics[i]);
        }
    }
    return table;
}

}  // namespace thresher::jobs
