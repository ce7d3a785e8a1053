#pragma once

// All parameters of a model, or all its running statistics, in one buffer: so that a reduction over
// ranks is one call, an optimiser two, and a state to export one piece of memory.

#include <ATen/core/Tensor.h>

#include <vector>

#include "src/models/model.hpp"
#include "src/models/tensors.hpp"
#include "src/pool/blocks.hpp"

namespace thresher {

class FlatTensors {
  public:
    /// Moves the tensors into one float32 buffer; they become views of it. Those of two and more
    /// dimensions come first. Every tensor starts at a multiple of 16 values, with zeros between.
    explicit FlatTensors(const std::vector<NamedTensor>& tensors);

    const at::Tensor& values() const { return values_; }  ///< [size()] on the model's device
    std::int64_t size() const { return values_.numel(); }
    std::int64_t matrices() const {
        return matrices_;
    }  ///< values that belong to matrices and kernels

    /// One of the tensors, and where its values lie, padding included; in order of their places.
    struct Part {
        at::Tensor tensor;
        RowRange values;
    };
    const std::vector<Part>& parts() const { return parts_; }

    /// Makes backward add to `gradients` [size()]. An undefined tensor detaches the gradients.
    void bind_gradients(const at::Tensor& gradients);

  private:
    std::vector<Part> parts_;
    at::Tensor values_;
    std::int64_t matrices_ = 0;
};

/// The tensors among `tensors` that are trained; throws Error where there are none or one is not
/// float32.
std::vector<NamedTensor> trainable(const std::vector<NamedTensor>& tensors);

}  // namespace thresher
