#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/mv.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "src/policy/lookup_table/estimator.hpp"
#include "src/policy/lookup_table/gaussian_process.hpp"

namespace thresher {

namespace {

constexpr double kPenalties[] = {0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0};

/// Ridge regression on the indicators of the candidates, less their means, by way of the R x R
/// matrix of their products: the penalty is the noise of a Gaussian process with that kernel.
class Ridge final : public SubsetEstimator {
  public:
    explicit Ridge(const FitRecords& records) {
        const c10::NoGradGuard no_grad;
        const std::int64_t r = records.subsets.size(), n = records.subsets.candidates();
        at::Tensor indicators = at::zeros({r, n}, at::TensorOptions(at::kDouble));
        double* const data = indicators.mutable_data_ptr<double>();
        for (std::int64_t i = 0; i < r; ++i) {
            for (const std::int32_t item : records.subsets.members(i)) data[i * n + item] = 1.0;
        }
        shares_ = indicators.mean(0).contiguous();
        indicators.sub_(shares_);
        const at::Tensor products = at::mm(indicators, indicators.t());
        double best = -INFINITY;
        for (const double penalty : kPenalties) {
            GaussianProcess process(products, records.values, penalty);
            if (process.leave_one_out().log_likelihood <= best) continue;
            best = process.leave_one_out().log_likelihood;
            process_ = std::move(process);
            penalty_ = penalty;
        }
        indicators_ = indicators;
        const at::Tensor effects = at::mv(indicators.t(), process_.alpha()).contiguous();
        effects_.assign(effects.const_data_ptr<double>(), effects.const_data_ptr<double>() + n);
        base_ = process_.base() - shares_.dot(effects).item<double>();
    }

    void estimate(std::span<const std::int32_t> subsets, std::int64_t size,
                  std::span<double> values, std::span<double> deviations) const override {
        const c10::NoGradGuard no_grad;
        for (std::size_t q = 0; q < values.size(); ++q) {
            const auto subset =
                subsets.subspan(q * static_cast<std::size_t>(size), static_cast<std::size_t>(size));
            values[q] = base_;
            for (const std::int32_t item : subset) {
                values[q] += effects_[static_cast<std::size_t>(item)];
            }
            if (deviations.empty()) continue;
            at::Tensor own = -shares_;
            for (const std::int32_t item : subset) own.mutable_data_ptr<double>()[item] += 1.0;
            deviations[q] =
                process_.deviation(at::mv(indicators_, own), own.dot(own).item<double>());
        }
    }

    std::string summary() const override {
        return fmt::format("effects of {} candidates from {} records, penalty {:g}",
                           effects_.size(), indicators_.size(0), penalty_);
    }

  private:
    at::Tensor indicators_, shares_;  ///< [R, N] less the means [N]
    std::vector<double> effects_;     ///< [N]
    GaussianProcess process_;
    double penalty_ = 1.0, base_ = 0.0;
};

}  // namespace

std::unique_ptr<SubsetEstimator> fit_ridge(const FitRecords& records, const Items&,
                                           const EstimatorOptions&) {
    return std::make_unique<Ridge>(records);
}

}  // namespace thresher
