#include "src/policy/lookup_table/table_metric.hpp"

#include <algorithm>
#include <utility>

#include "src/base/check.hpp"

namespace thresher {

TableMetric::TableMetric(const LookupTable& table, std::string metric, std::string_view estimator,
                         const Items& items, const EstimatorOptions& options)
    : TableMetric(usable_records(table, metric), metric, estimator, items, options) {}

TableMetric::TableMetric(UsableRecords records, std::string metric, std::string_view estimator,
                         const Items& items, const EstimatorOptions& options)
    : metric_(std::move(metric)),
      records_(std::move(records)),
      estimator_(fit_estimator(estimator, {records_.subsets, records_.values}, items, options)) {}

void TableMetric::evaluate(std::span<const std::int32_t> subsets, std::int64_t size,
                           std::span<double> values) {
    std::as_const(*this).evaluate(subsets, size, values, {});
}

void TableMetric::evaluate(std::span<const std::int32_t> subsets, std::int64_t size,
                           std::span<double> values, std::span<double> deviations) const {
    THRESHER_CHECK(size >= records_.least_size && size <= records_.most_size,
                   "a subset of {} candidates was asked for, but the table's have {}; build a "
                   "table of that size",
                   size,
                   records_.least_size == records_.most_size
                       ? fmt::format("{}", records_.most_size)
                       : fmt::format("{} to {}", records_.least_size, records_.most_size));
    THRESHER_CHECK(size >= 1 && std::ssize(subsets) == size * std::ssize(values),
                   "{} positions in subsets of {} with room for {} values do not agree",
                   subsets.size(), size, values.size());
    THRESHER_CHECK(std::find(subsets.begin(), subsets.end(), -1) == subsets.end(),
                   "a subset to be estimated has an empty place");
    PackedSubsets checked(records_.subsets.candidates());
    for (std::size_t q = 0; q < values.size(); ++q) {
        checked.add(
            subsets.subspan(q * static_cast<std::size_t>(size), static_cast<std::size_t>(size)));
    }
    estimator_->estimate(subsets, size, values, deviations);
}

}  // namespace thresher
