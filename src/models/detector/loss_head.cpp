#include "src/models/detector/loss_head.hpp"

#include <ATen/ops/cat.h>

#include <string>

#include "src/models/detector/detector_spec.hpp"

namespace thresher {
namespace {

constexpr std::int64_t kWidth = 64;  ///< of each level

}  // namespace

LossHead::LossHead(const ModelSpec& spec, Builder& builder) {
    const std::vector<FeatureLevel> levels = trunk_levels(spec);
    for (std::size_t i = 0; i < levels.size(); ++i) {
        levels_.emplace_back(builder, "levels." + std::to_string(i), levels[i].channels, kWidth);
    }
    last_ = Linear(builder, "last", std::ssize(levels_) * kWidth, 1);
}

at::Tensor LossHead::operator()(const std::vector<at::Tensor>& features, Pass& pass) const {
    std::vector<at::Tensor> parts;
    for (std::size_t i = 0; i < levels_.size(); ++i) {
        parts.push_back(levels_[i](features[i].detach().mean({2, 3}), pass).relu_());
    }
    return last_(at::cat(parts, 1), pass).squeeze(1);
}

}  // namespace thresher
