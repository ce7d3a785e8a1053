#include "src/models/detector/heads.hpp"

#include <ATen/core/Tensor.h>
#include <ATen/ops/cat.h>

#include <cmath>

namespace thresher {

std::unique_ptr<Heads> make_heads(const ModelSpec& spec, Builder& builder) {
    return spec.name == "ssd" ? make_ssd_heads(spec, builder) : make_retinanet_heads(spec, builder);
}

at::Tensor by_anchor(const std::vector<at::Tensor>& levels, std::int64_t numbers) {
    std::vector<at::Tensor> parts;
    for (const at::Tensor& level : levels) {
        parts.push_back(level.permute({0, 2, 3, 1}).reshape({level.size(0), -1, numbers}));
    }
    return at::cat(parts, 1);
}

double kaiming_bound(std::int64_t in, std::int64_t kernel) {
    return std::sqrt(6.0 / static_cast<double>(in * kernel * kernel));
}

}  // namespace thresher
