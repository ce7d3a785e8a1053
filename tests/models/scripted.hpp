#pragma once

// A user's TorchScript module with everything that has a mode: batch-norm, a dropout layer, dropout
// called as a function, and one that is switched off by a constant.

#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <torch/csrc/jit/api/module.h>

#include <string>

namespace thresher {

inline torch::jit::Module scripted_dropout_layer(double probability) {
    torch::jit::Module layer("Dropout");
    layer.register_attribute("training", c10::BoolType::get(), true);
    layer.define("def forward(self, x):\n    return torch.dropout(x, " +
                 std::to_string(probability) + ", self.training)\n");
    return layer;
}

/// Inputs [n, 4], logits [n, 3], embedding [n, 8].
inline torch::jit::Module scripted_network(double probability) {
    const auto ramp = [](std::int64_t rows, std::int64_t columns) {
        return at::arange(rows * columns, at::kFloat)
            .view({rows, columns})
            .sin()
            .set_requires_grad(true);
    };
    const std::string p = std::to_string(probability);
    torch::jit::Module module("Network");
    module.register_attribute("training", c10::BoolType::get(), true);
    module.register_parameter("first", ramp(8, 4), false);
    module.register_parameter("gain", at::full({8}, 1.5).set_requires_grad(true), false);
    module.register_parameter("shift", at::full({8}, 0.25).set_requires_grad(true), false);
    module.register_parameter("last", ramp(3, 8), false);
    module.register_buffer("mean", at::full({8}, 0.1));
    module.register_buffer("variance", at::full({8}, 2.0));
    module.register_module("drop", scripted_dropout_layer(probability));
    module.define(
        "def forward(self, x):\n"
        "    h = torch.matmul(x, self.first.t())\n"
        "    h = torch.batch_norm(h, self.gain, self.shift, self.mean, self.variance, "
        "self.training, 0.1, 1e-5, True)\n"
        "    h = self.drop.forward(torch.relu(h))\n"
        "    h = torch.dropout(h, " +
        p +
        ", self.training)\n"
        "    h = torch.dropout(h, 0.9, False)\n"
        "    return {\"logits\": torch.matmul(h, self.last.t()), \"embedding\": h}\n");
    return module;
}

}  // namespace thresher
