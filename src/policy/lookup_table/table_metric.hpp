#pragma once

// The metric of a batch as a lookup table estimates it: what policies and searches ask instead of
// retraining.

#include <memory>
#include <string>

#include "src/policy/lookup_table/estimator.hpp"
#include "src/policy/lookup_table/lookup_table.hpp"
#include "src/policy/metric.hpp"

namespace thresher {

class TableMetric final : public Metric {
  public:
    /// Fits the estimator to the table's usable records. Throws as usable_records() and
    /// fit_estimator() do. When the table has grown, make another.
    TableMetric(const LookupTable& table, std::string metric, std::string_view estimator,
                const Items& items, const EstimatorOptions& options = {});

    /// The same of records that are usable.
    TableMetric(UsableRecords records, std::string metric, std::string_view estimator,
                const Items& items, const EstimatorOptions& options = {});

    std::string_view name() const override { return metric_; }
    /// Throws Error for subsets of a size that none of the records has, beyond them on either side.
    void evaluate(std::span<const std::int32_t> subsets, std::int64_t size,
                  std::span<double> values) override;
    /// The same with the deviation of each estimate.
    void evaluate(std::span<const std::int32_t> subsets, std::int64_t size,
                  std::span<double> values, std::span<double> deviations) const;

    const UsableRecords& records() const { return records_; }
    std::string summary() const { return estimator_->summary(); }
    std::vector<double> chosen() const { return estimator_->chosen(); }

  private:
    std::string metric_;
    UsableRecords records_;
    std::unique_ptr<SubsetEstimator> estimator_;
};

}  // namespace thresher
