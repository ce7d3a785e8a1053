#include "src/policy/lookup_table/gaussian_process.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cholesky_inverse.h>
#include <ATen/ops/linalg_cholesky_ex.h>
#include <ATen/ops/mv.h>
#include <ATen/ops/tensor.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "src/base/check.hpp"

namespace thresher {

GaussianProcess::GaussianProcess(const at::Tensor& kernel, std::span<const double> values,
                                 double noise)
    : noise_(noise) {
    const c10::NoGradGuard no_grad;
    const double n = static_cast<double>(values.size());
    const double mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
    std::vector<double> centred(values.begin(), values.end());
    for (double& value : centred) value -= mean;
    constant_ = 10.0 * kernel.diagonal().mean().item<double>();
    at::Tensor a = kernel + constant_;
    a.diagonal().add_(noise);
    const auto [factor, info] = at::linalg_cholesky_ex(a);
    THRESHER_CHECK(info.item<std::int32_t>() == 0,
                   "the kernel of {} records is not positive definite with noise {}", values.size(),
                   noise);
    inverse_ = at::cholesky_inverse(factor);
    alpha_ = at::mv(inverse_, at::tensor(at::ArrayRef<double>(centred), at::kDouble)).contiguous();
    base_ = mean + constant_ * alpha_.sum().item<double>();
    const at::Tensor diagonal = inverse_.diagonal().contiguous();
    const double* const left_out = alpha_.const_data_ptr<double>();
    const double* const precision = diagonal.const_data_ptr<double>();
    double squares = 0.0, logarithms = 0.0;
    for (std::size_t i = 0; i < values.size(); ++i) {
        squares += left_out[i] * left_out[i] / precision[i];
        logarithms += std::log(precision[i]);
    }
    leave_one_out_.variance = squares / n;
    leave_one_out_.log_likelihood = 0.5 * (logarithms - n * std::log(squares / n));
}

double GaussianProcess::deviation(const at::Tensor& row, double self) const {
    const c10::NoGradGuard no_grad;
    const at::Tensor own = row + constant_;
    const double explained = own.dot(at::mv(inverse_, own)).item<double>();
    return std::sqrt(leave_one_out_.variance *
                     std::max(0.0, self + constant_ + noise_ - explained));
}

}  // namespace thresher
