#pragma once

// The tensors that models take and give; only for code that computes with LibTorch.

#include <ATen/core/Tensor.h>

#include <string>

namespace thresher {

struct ModelOutputs {
    at::Tensor logits;  ///< [n, classes]
    at::Tensor
        embedding;  ///< [n, d], the input of the last layer; undefined where a model has none
};

struct NamedTensor {
    std::string name;  ///< dotted, as in a Python state_dict: "layer1.0.conv1.weight"
    at::Tensor tensor;
};

}  // namespace thresher
