#pragma once

// Whether the metrics of a table tell subsets apart at all, and how they go with other measures of
// the same subsets: what is to be known before a policy learns from it.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "src/policy/lookup_table/lookup_table.hpp"

namespace thresher {

/// Of a metric over records of r trainings each, by an analysis of variance.
struct TableSpread {
    std::int64_t records = 0, trainings = 0;
    double over_subsets = 0.0;  ///< standard deviation of what subsets are worth, without noise
    double over_seeds = 0.0;    ///< of one training of a subset; 0 where there is one alone
    /// Share of the variance of records that comes from the subsets, not from the seeds.
    double reliability = 0.0;

    bool known() const { return trainings >= 2; }
    /// Subsets differ by more than seeds do.
    bool informative() const { return known() && over_subsets > 0.0 && over_subsets >= over_seeds; }
};

/// Over the records of which all trainings have a finite metric. Throws Error for a metric that the
/// table has not, or fewer than two such records. Local.
TableSpread table_spread(const LookupTable& table, const std::string& metric);

/// How the same subsets do in two tables.
struct TableAgreement {
    std::int64_t records = 0;       ///< in both, with finite metrics
    double rank_correlation = 0.0;  ///< Spearman, of the means over trainings
};

/// Throws Error where the candidates are others, or fewer than three records are in both. Local.
TableAgreement compare_tables(const LookupTable& a, const std::string& metric_a,
                              const LookupTable& b, const std::string& metric_b);

/// sum over classes c of log(1 + labels of class c in the subset), [R]: what costs no training, but
/// knows the labels. Empty where the table does not say what they are. Local.
std::vector<double> class_coverage(const LookupTable& table);

/// How it goes with a metric, over the records whose trainings are all finite; nothing where it is
/// empty. Throws Error for a metric that the table has not. Local.
std::optional<TableAgreement> compare_with_coverage(const LookupTable& table,
                                                    const std::string& metric);

}  // namespace thresher
