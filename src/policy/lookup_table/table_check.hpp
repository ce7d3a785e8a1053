#pragma once

// How well the estimators do: some records are held out, the others are fitted, and what is
// estimated of those held out is compared with what retraining gave. The first thing to look at.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "src/policy/lookup_table/estimator.hpp"
#include "src/policy/lookup_table/lookup_table.hpp"

namespace thresher {

struct EstimatorCheck {
    std::string estimator;
    std::int64_t records = 0;                    ///< that were fitted
    std::int64_t least_size = 0, most_size = 0;  ///< of the subsets held out
    std::int64_t held_out = 0;
    double mean_error = 0.0;          ///< mean absolute error
    double mean_error_of_mean = 0.0;  ///< the same, of predicting the mean of those fitted
    double rank_correlation = 0.0, correlation = 0.0;  ///< Spearman, Pearson; 0 where undefined
    /// Shares of records held out that are within 1 and 2 deviations of the estimate; .68 and .95
    /// where these are what they say.
    double within_1 = 0.0, within_2 = 0.0;
    std::string summary;  ///< of the estimator
};

/// Every estimator at a quarter, a half and all of the records that are not held out (a fifth is,
/// drawn under `seed`), over all sizes of subsets together and, at all records, for each of up to
/// four ranges of sizes. Throws as usable_records(); Error for fewer than 10 usable records. Local.
std::vector<EstimatorCheck> check_table(const LookupTable& table, const std::string& metric,
                                        std::span<const std::string> estimator_names,
                                        const Items& items, const EstimatorOptions& options,
                                        std::uint64_t seed);

/// Spearman's, with mean ranks for ties; 0 where one side does not vary.
double rank_correlation(std::span<const double> a, std::span<const double> b);
double correlation(std::span<const double> a, std::span<const double> b);

}  // namespace thresher
