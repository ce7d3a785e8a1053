#pragma once

// A lookup table that grows while a policy learns from it. A search that climbs a fixed table finds
// its errors; so batches that the policy proposes are retrained, with some random ones, and the
// estimator is fitted again. Every rank has all records.

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "src/base/collective.hpp"
#include "src/policy/lookup_table/table_metric.hpp"
#include "src/policy/reinforce.hpp"

namespace thresher {

struct TableOptions {
    std::string estimator{kDefaultEstimator};
    EstimatorOptions settings;
    std::int64_t records = 200;   ///< random ones to begin with, each another
    std::int64_t refreshed = 16;  ///< records of a refresh, a quarter or more random
    /// Random subsets have from `least` to `most` candidates.
    std::int64_t least = 0, most = 0;
    std::uint64_t seed = 0;
};

class RefreshedTable final : public Metric {
  public:
    /// `truth` retrains (see SharedMetric) and gives the same bits on all ranks; it must outlive
    /// the table, as the collective must. Retrains the random records. Throws Error where a rank's
    /// retraining does. Collective.
    /// With `start` its usable records are the first instead, and count as random: of the same
    /// candidates and the same retraining, which is the caller's to know. Throws as
    /// usable_records().
    RefreshedTable(Items items, Metric& truth, const TableOptions& options, Collective& collective,
                   const LookupTable* start = nullptr);
    /// As the table of `state`, which export_state() gave, was. Retrains nothing. Throws FileError
    /// where the state is of another table. Local.
    RefreshedTable(Items items, Metric& truth, const TableOptions& options, Collective& collective,
                   const TrainState& state);

    std::string_view name() const override { return truth_.name(); }
    /// NaN for subsets of a size that no record has, beyond them on either side. Fits the estimator
    /// where records have come since. Throws Error where they have no signal.
    void evaluate(std::span<const std::int32_t> subsets, std::int64_t size,
                  std::span<double> values) override;

    /// Retrains the first of the `batches` [Q, size] that the table has no record of, fills up with
    /// random ones of that size; the estimator is fitted again when it is asked. The root's batches
    /// count. Throws as the constructor and evaluate() do. Collective.
    RefreshReport refresh(std::span<const std::int32_t> batches, std::int64_t size);

    const PackedSubsets& subsets() const { return subsets_; }   ///< of the records
    std::span<const double> values() const { return values_; }  ///< the same, retrained
    std::int64_t size() const { return subsets_.size(); }
    std::string summary() { return fitted().summary(); }
    /// What retraining gave for random subsets of this size; all 0 where fewer than two have one.
    Spread random_spread(std::int64_t size) const;
    /// The record with the highest metric.
    std::vector<std::int32_t> best();

    TrainState export_state() const;

  private:
    void check_options() const;
    /// Retrains random subsets, all of them where there are fewer than the options ask for.
    void draw_table();
    /// Subsets of one size, of which the first `proposed` are no random ones, and what retraining
    /// gives.
    void add(std::span<const std::int32_t> subsets, std::int64_t size,
             std::span<const double> values, std::int64_t proposed = 0);
    /// The proposals of a refresh that are new, and behind them random subsets that are.
    struct Chosen {
        std::int64_t proposed = 0;
        std::vector<std::int32_t> subsets;
    };
    Chosen choose(std::span<const std::int32_t> batches, std::int64_t size) const;
    std::vector<double> retrain(std::span<const std::int32_t> subsets, std::int64_t size);
    /// Appends a subset to `subsets`, keyed by the number of its record.
    void draw_random(std::int64_t number, std::int64_t size,
                     std::vector<std::int32_t>& subsets) const;
    /// With what another rank's fit has chosen, unless empty.
    void fit(const std::vector<double>& chosen);
    TableMetric& fitted();
    friend void fit_together(std::span<RefreshedTable* const> tables, Collective& collective);

    Metric& truth_;
    TableOptions options_;
    Collective& collective_;
    Items items_;
    PackedSubsets subsets_;
    std::vector<double> values_;
    std::vector<std::uint8_t> random_;       ///< of each record: whether it is of a random subset
    std::unique_ptr<TableMetric> estimate_;  ///< null where records have come since
};

/// Fits all tables that need it, each on one rank, which tells the others what they need to have
/// the same bits. Throws the same Error on all ranks. Collective.
void fit_together(std::span<RefreshedTable* const> tables, Collective& collective);

}  // namespace thresher
