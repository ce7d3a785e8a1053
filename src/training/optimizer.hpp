#pragma once

// The two optimisers, on flat buffers.

#include <ATen/core/Tensor.h>

#include "src/training/train_options.hpp"

namespace thresher {

class Optimizer {
  public:
    /// For values like these, in number and device, of which the first `matrices` decay.
    Optimizer(const TrainOptions& options, const at::Tensor& like, std::int64_t matrices);

    /// One update of `values` by `gradients`, both [size]; `step` counts from 0.
    /// sgd (Nesterov): g += d w; m = mu m + g; w -= r (g + mu m).
    /// adamw (Loshchilov and Hutter 2019): w -= r d w; m = b1 m + (1 - b1) g; v = b2 v + (1 - b2)
    /// g^2; w -= r (m / (1 - b1^(step + 1))) / (sqrt(v / (1 - b2^(step + 1))) + epsilon).
    void update(const at::Tensor& values, const at::Tensor& gradients, double learning_rate,
                std::int64_t step);

    /// m, and v behind it under adamw: all the state there is, [moments, size].
    at::Tensor& moments() { return moments_; }

  private:
    TrainOptions options_;
    std::int64_t matrices_;
    at::Tensor moments_;
};

}  // namespace thresher
