#include "src/training/optimizer.hpp"

#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/_fused_sgd.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

namespace thresher {

Optimizer::Optimizer(const TrainOptions& options, const at::Tensor& like, std::int64_t matrices)
    : options_(options),
      matrices_(matrices),
      moments_(at::zeros({options.optimizer == OptimizerKind::adamw ? 2 : 1, like.numel()},
                         like.options())) {}

void Optimizer::update(const at::Tensor& values, const at::Tensor& gradients, double learning_rate,
                       std::int64_t step) {
    const c10::NoGradGuard no_grad;
    const auto update_part = [&](std::int64_t begin, std::int64_t end, double decay) {
        if (begin == end) return;
        const auto part = [&](const at::Tensor& whole) {
            return whole.narrow(0, begin, end - begin);
        };
        const at::Tensor value = part(values), gradient = part(gradients), m = part(moments_[0]);
        if (options_.optimizer == OptimizerKind::sgd) {
            // A zero momentum at the first step gives m = g, so that step needs no case of its own.
            const bool has_momentum = options_.momentum > 0.0;
            at::_fused_sgd_({value}, {gradient},
                            has_momentum ? at::TensorList(m) : at::TensorList(), decay,
                            options_.momentum, learning_rate, 0.0, has_momentum, false, false);
            return;
        }
        const at::Tensor v = part(moments_[1]);
        const at::Tensor count =
            at::full({}, static_cast<double>(step + 1), values.options().dtype(at::kFloat));
        at::_fused_adamw_({value}, {gradient}, {m}, {v}, {}, {count}, learning_rate, options_.beta1,
                          options_.beta2, decay, options_.epsilon, false, false);
    };
    update_part(0, matrices_, options_.weight_decay);
    update_part(matrices_, values.numel(), 0.0);
}

}  // namespace thresher
