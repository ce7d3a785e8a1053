#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "src/base/spread.hpp"
#include "src/policy/lookup_table/estimator.hpp"

namespace thresher {

namespace {

/// Records that are held out, one by one, to learn how much the spread of the estimates shrinks.
constexpr std::int64_t kHeldOut = 500;

/// The values by their estimates.
struct Line {
    double mean_estimate = 0.0, mean_value = 0.0;
    double shrinkage = 1.0;  ///< deviation of the estimates over that of the values
    double scale = 1.0;      ///< slope of the values by the estimates
    double residual = 0.0;   ///< deviation of the values about the line
};

Line line_through(const std::vector<double>& estimates, const std::vector<double>& values) {
    const double n = static_cast<double>(values.size());
    Line line;
    line.mean_estimate = spread_of(estimates).mean;
    line.mean_value = spread_of(values).mean;
    double ee = 0.0, ev = 0.0, vv = 0.0;
    for (std::size_t i = 0; i < values.size(); ++i) {
        const double e = estimates[i] - line.mean_estimate, v = values[i] - line.mean_value;
        ee += e * e;
        ev += e * v;
        vv += v * v;
    }
    line.shrinkage = vv > 0.0 ? std::sqrt(ee / vv) : 0.0;
    // Estimates that say nothing of the values are not turned against themselves.
    line.scale = ee > 0.0 ? std::max(0.0, ev / ee) : 0.0;
    const double scale = line.scale;
    line.residual = std::sqrt(std::max(0.0, vv - 2.0 * scale * ev + scale * scale * ee) / n);
    return line;
}

class Knn final : public SubsetEstimator {
  public:
    Knn(const FitRecords& records, const EstimatorOptions& options)
        : subsets_(records.subsets),
          values_(records.values.begin(), records.values.end()),
          options_(options) {
        const std::int64_t r = subsets_.size();
        neighbours_ = options.neighbours > 0 ? std::min(options.neighbours, r)
                                             : std::max<std::int64_t>(1, r / 5);
        if (r > 2) line_ = hold_out();
    }

    void estimate(std::span<const std::int32_t> subsets, std::int64_t size,
                  std::span<double> values, std::span<double> deviations) const override {
        PackedSubsets queries(subsets_.candidates());
        for (std::size_t q = 0; q < values.size(); ++q) {
            queries.add(subsets.subspan(q * static_cast<std::size_t>(size),
                                        static_cast<std::size_t>(size)));
        }
        const NearestRecords nearest = nearest_records(subsets_, queries, neighbours_);
        const auto m = static_cast<std::size_t>(neighbours_);
        std::vector<double> of_nearest(m);
        for (std::size_t q = 0; q < values.size(); ++q) {
            for (std::size_t i = 0; i < m; ++i) {
                of_nearest[i] = values_[static_cast<std::size_t>(nearest.records[q * m + i])];
            }
            const auto distances = std::span(nearest.distances).subspan(q * m, m);
            const double plain =
                knn_estimate(distances, of_nearest, options_.weights, options_.temperature);
            values[q] = options_.rescale && distances[0] > 0 ? rescaled(plain) : plain;
            if (!deviations.empty()) deviations[q] = line_.residual;
        }
    }

    std::string summary() const override {
        return fmt::format(
            "{} nearest of {}, spread shrunk to {:.2f} of the records'{}", neighbours_,
            subsets_.size(), line_.shrinkage,
            options_.rescale ? fmt::format(", rescaled by {:.2f}", line_.scale) : ", not rescaled");
    }

  private:
    double rescaled(double plain) const {
        return line_.mean_value + line_.scale * (plain - line_.mean_estimate);
    }

    /// Of some records, what the others say.
    Line hold_out() const {
        const std::int64_t r = subsets_.size(), count = std::min(r, kHeldOut);
        PackedSubsets queries(subsets_.candidates());
        std::vector<std::int64_t> rows;
        for (std::int64_t i = 0; i < count; ++i) {
            rows.push_back(i * r / count);
            queries.add_packed(subsets_[rows.back()]);
        }
        const auto m = static_cast<std::size_t>(std::min(neighbours_, r - 1));
        const NearestRecords nearest =
            nearest_records(subsets_, queries, static_cast<std::int64_t>(m) + 1);
        std::vector<double> estimates, values;
        for (std::size_t q = 0; q < rows.size(); ++q) {
            std::vector<std::int32_t> distances;
            std::vector<double> of_nearest;
            for (std::size_t i = 0; i <= m && distances.size() < m; ++i) {
                const std::int32_t record = nearest.records[q * (m + 1) + i];
                if (record == rows[q]) continue;
                distances.push_back(nearest.distances[q * (m + 1) + i]);
                of_nearest.push_back(values_[static_cast<std::size_t>(record)]);
            }
            estimates.push_back(
                knn_estimate(distances, of_nearest, options_.weights, options_.temperature));
            values.push_back(values_[static_cast<std::size_t>(rows[q])]);
        }
        return line_through(estimates, values);
    }

    PackedSubsets subsets_;
    std::vector<double> values_;
    EstimatorOptions options_;
    std::int64_t neighbours_ = 1;
    Line line_;
};

}  // namespace

std::vector<double> neighbour_weights(std::span<const std::int32_t> distances,
                                      NeighbourWeights weights, double temperature) {
    const bool inverse = weights == NeighbourWeights::inverse_distance;
    const bool hit = distances[0] == 0;
    std::vector<double> found;
    double sum = 0.0;
    for (const std::int32_t distance : distances) {
        double weight = 0.0;
        if (!inverse) {  // by the distance beyond the nearest, so that one weight is 1
            weight = std::exp(-static_cast<double>(distance - distances[0]) / temperature);
        } else if (hit) {
            weight = distance == 0 ? 1.0 : 0.0;
        } else {
            weight = 1.0 / static_cast<double>(distance);
        }
        found.push_back(weight);
        sum += weight;
    }
    for (double& weight : found) weight /= sum;
    return found;
}

double knn_estimate(std::span<const std::int32_t> distances, std::span<const double> values,
                    NeighbourWeights weights, double temperature) {
    if (distances[0] == 0) weights = NeighbourWeights::inverse_distance;
    const std::vector<double> by = neighbour_weights(distances, weights, temperature);
    return std::inner_product(by.begin(), by.end(), values.begin(), 0.0);
}

std::unique_ptr<SubsetEstimator> fit_knn(const FitRecords& records, const Items&,
                                         const EstimatorOptions& options) {
    return std::make_unique<Knn>(records, options);
}

}  // namespace thresher
