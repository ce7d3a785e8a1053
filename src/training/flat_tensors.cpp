#include "src/training/flat_tensors.hpp"

#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <algorithm>

#include "src/base/check.hpp"

namespace thresher {
namespace {

constexpr std::int64_t kAlignment = 16;

}  // namespace

FlatTensors::FlatTensors(const std::vector<NamedTensor>& tensors) {
    const c10::NoGradGuard no_grad;
    for (const NamedTensor& entry : tensors) parts_.push_back({entry.tensor, {}});
    const auto vectors = std::stable_partition(
        parts_.begin(), parts_.end(), [](const Part& part) { return part.tensor.dim() >= 2; });
    std::int64_t size = 0;
    for (auto part = parts_.begin(); part != parts_.end(); ++part) {
        if (part == vectors) matrices_ = size;
        part->values.begin = size;
        size += (part->tensor.numel() + kAlignment - 1) / kAlignment * kAlignment;
        part->values.end = size;
    }
    if (vectors == parts_.end()) matrices_ = size;
    const auto options =
        parts_.empty() ? at::TensorOptions(at::kFloat) : parts_.front().tensor.options();
    values_ = at::zeros({size}, options.requires_grad(false).memory_format(std::nullopt));
    for (Part& part : parts_) {
        const at::Tensor view =
            values_.narrow(0, part.values.begin, part.tensor.numel()).view(part.tensor.sizes());
        view.copy_(part.tensor);
        part.tensor.set_data(view);
    }
}

void FlatTensors::bind_gradients(const at::Tensor& gradients) {
    for (Part& part : parts_) {
        part.tensor.mutable_grad() =
            gradients.defined() ? gradients.narrow(0, part.values.begin, part.tensor.numel())
                                      .view(part.tensor.sizes())
                                : at::Tensor();
    }
}

std::vector<NamedTensor> trainable(const std::vector<NamedTensor>& tensors) {
    std::vector<NamedTensor> result;
    for (const NamedTensor& entry : tensors) {
        if (!entry.tensor.requires_grad()) continue;
        THRESHER_CHECK(
            entry.tensor.scalar_type() == at::kFloat,
            "parameter {} has elements of another type than float32; convert the model with "
            "model.float() before it is saved",
            entry.name);
        result.push_back(entry);
    }
    THRESHER_CHECK(
        !result.empty(),
        "the model has no parameter that requires a gradient, so there is nothing to train");
    return result;
}

}  // namespace thresher
