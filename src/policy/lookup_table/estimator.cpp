#include "src/policy/lookup_table/estimator.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "src/base/check.hpp"

namespace thresher {

const std::vector<EstimatorInfo>& estimators() {
    static const std::vector<EstimatorInfo> table{
        {"kernel",
         "Gaussian process on subsets: pairs of like candidates, candidates that both hold, and "
         "what the sets are like",
         "sum_ij (a exp(-|f_i - f_j|^2 / 2 l^2) + b [i = j]) + c exp(-|s - s'|^2 / 2 m^2)",
         "hyper-parameters by closed-form leave-one-out (Rasmussen and Williams 2006, 5.4.2)", true,
         fit_kernel},
        {"ridge", "an effect of each candidate, added up", "sum of w_i over the subset",
         "ridge regression, penalty by closed-form leave-one-out", false, fit_ridge},
        {"knn", "weighted mean of the M nearest records; an exact hit answers alone",
         "sum of v_r / d_r over sum of 1 / d_r, d = candidates that one subset alone holds",
         "MAGRAL, arXiv 2310.08387", false, fit_knn},
    };
    return table;
}

const EstimatorInfo& find_estimator(std::string_view name) {
    std::vector<std::string_view> known;
    for (const EstimatorInfo& estimator : estimators()) {
        if (estimator.name == name) return estimator;
        known.push_back(estimator.name);
    }
    fail<UsageError>("unknown estimator \"{}\"; known: {}", name, fmt::join(known, ", "));
}

std::unique_ptr<SubsetEstimator> fit_estimator(std::string_view name, const FitRecords& records,
                                               const Items& items,
                                               const EstimatorOptions& options) {
    const EstimatorInfo& estimator = find_estimator(name);
    THRESHER_CHECK_AS(UsageError, options.neighbours >= 0 && options.temperature > 0.0,
                      "{} neighbours and a temperature of {}; the first must be 0 (a fifth of the "
                      "records) or more, the second above 0",
                      options.neighbours, options.temperature);
    THRESHER_CHECK(
        std::ssize(records.values) == records.subsets.size() && records.values.size() >= 2,
        "{} values of {} records cannot be fitted; 2 are the fewest", records.values.size(),
        records.subsets.size());
    THRESHER_CHECK(std::all_of(records.values.begin(), records.values.end(),
                               [](double value) { return std::isfinite(value); }),
                   "a record with a metric that is not finite cannot be fitted; leave it out");
    const auto [least, most] = std::minmax_element(records.values.begin(), records.values.end());
    THRESHER_CHECK(*least < *most,
                   "all {} records have the metric {}: there is no signal to tell subsets apart by",
                   records.values.size(), *least);
    THRESHER_CHECK(!estimator.reads_items || items.rows == records.subsets.candidates(),
                   "the records are of {} candidates, but {} are described; the table and the "
                   "candidates do not belong together",
                   records.subsets.candidates(), items.rows);
    return estimator.fit(records, items, options);
}

}  // namespace thresher
