#pragma once

// Regression with a given kernel matrix over records, and its closed-form leave-one-out.

#include <ATen/core/Tensor.h>

#include <span>

namespace thresher {

struct LeaveOneOut {
    double log_likelihood = 0.0;  ///< of the records, each given the others, less a constant
    double variance = 0.0;        ///< the kernel's scale at which it is largest
};

/// Regression of `values` [R] about their mean on s^2 (K + c + noise I), K [R, R] double. The
/// constant c, ten times the mean of K's diagonal, stands for not knowing the mean: without it a K
/// that is centred would leave records with nothing to be off by as the noise goes to 0. With A = K
/// + c + noise I and a = A^-1 y, the record left out is off by a_i / (A^-1)_ii, with a variance of
/// s^2 / (A^-1)_ii (Rasmussen and Williams 2006, eq. 5.12); s^2 = mean of a_i^2 / (A^-1)_ii.
class GaussianProcess {
  public:
    GaussianProcess() = default;
    /// Throws Error where K + noise I is not positive definite.
    GaussianProcess(const at::Tensor& kernel, std::span<const double> values, double noise);

    const LeaveOneOut& leave_one_out() const { return leave_one_out_; }
    /// What is estimated beside alpha . (kernel with the records): the mean, and what c makes of
    /// it.
    double base() const { return base_; }
    double constant() const { return constant_; }       ///< c
    const at::Tensor& alpha() const { return alpha_; }  ///< [R], A^-1 (y - mean)

    /// Deviation of a record whose kernel with the others is `row` [R] and with itself `self`.
    double deviation(const at::Tensor& row, double self) const;

  private:
    double base_ = 0.0, constant_ = 0.0, noise_ = 0.0;
    at::Tensor alpha_, inverse_;
    LeaveOneOut leave_one_out_;
};

}  // namespace thresher
