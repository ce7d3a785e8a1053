#pragma once

// Estimates of the metric of a subset from records of others. One table of name -> function; adding
// an estimator is a function and a line in the table of estimator.cpp.

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "src/policy/lookup_table/items.hpp"
#include "src/policy/lookup_table/packed_subsets.hpp"

namespace thresher {

/// What an estimator is fitted to; it copies what it needs.
struct FitRecords {
    const PackedSubsets& subsets;    ///< R >= 2
    std::span<const double> values;  ///< [R], finite, not all the same
};

enum class NeighbourWeights { inverse_distance, softmax };

struct EstimatorOptions {
    // knn alone
    std::int64_t neighbours = 0;  ///< M; 0: a fifth of the records
    NeighbourWeights weights = NeighbourWeights::inverse_distance;
    double temperature = 2.0;  ///< softmax: weights exp(-d / temperature)
    bool rescale = true;       ///< undo the shrinkage that averaging over neighbours brings
    /// SubsetEstimator::chosen() of a fit to the same records: kernel takes it and does not choose.
    std::vector<double> chosen;
};

class SubsetEstimator {
  public:
    virtual ~SubsetEstimator() = default;
    SubsetEstimator(const SubsetEstimator&) = delete;
    SubsetEstimator& operator=(const SubsetEstimator&) = delete;

    /// Fills `values` [Q] for the subsets [Q, size] and, unless empty, `deviations` [Q]: the
    /// standard deviation that a record of the subset would have about the estimate. Positions are
    /// of candidates, each once in a subset. Local.
    virtual void estimate(std::span<const std::int32_t> subsets, std::int64_t size,
                          std::span<double> values, std::span<double> deviations) const = 0;

    /// What was fitted, in words: "95 nearest of 478, spread shrunk to 0.31, rescaled by 1.8".
    virtual std::string summary() const = 0;

    /// What took the time of the fit; a fit that is given it has the same bits. Empty where a fit
    /// takes none.
    virtual std::vector<double> chosen() const { return {}; }

  protected:
    SubsetEstimator() = default;
};

struct EstimatorInfo {
    std::string_view name, description, formula, source;
    bool reads_items;
    std::unique_ptr<SubsetEstimator> (*fit)(const FitRecords& records, const Items& items,
                                            const EstimatorOptions& options);
};

const std::vector<EstimatorInfo>& estimators();
inline constexpr std::string_view kDefaultEstimator = "kernel";

/// Throws UsageError, listing the known ones.
const EstimatorInfo& find_estimator(std::string_view name);

/// Fits the estimator called `name`. Throws UsageError for an unknown name or an option out of
/// range, Error for records that cannot be fitted, or items that are not the candidates. Local.
std::unique_ptr<SubsetEstimator> fit_estimator(std::string_view name, const FitRecords& records,
                                               const Items& items, const EstimatorOptions& options);

/// Weights of neighbours at these distances [M], in order: by inverse distance, where exact hits
/// (distance 0) share all weight among themselves; or by softmax, without a special case. They sum
/// to 1.
std::vector<double> neighbour_weights(std::span<const std::int32_t> distances,
                                      NeighbourWeights weights, double temperature);

/// What knn makes of M neighbours with these values [M] at these distances [M]: their weighted
/// mean, where exact hits answer alone under either kind of weights.
double knn_estimate(std::span<const std::int32_t> distances, std::span<const double> values,
                    NeighbourWeights weights, double temperature);

std::unique_ptr<SubsetEstimator> fit_knn(const FitRecords& records, const Items& items,
                                         const EstimatorOptions& options);
std::unique_ptr<SubsetEstimator> fit_ridge(const FitRecords& records, const Items& items,
                                           const EstimatorOptions& options);
std::unique_ptr<SubsetEstimator> fit_kernel(const FitRecords& records, const Items& items,
                                            const EstimatorOptions& options);

}  // namespace thresher
