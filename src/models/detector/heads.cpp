#include "src/models/detector/heads.hpp"

#include <ATen/core/Tensor.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/log_sigmoid.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/logaddexp.h>
#include <ATen/ops/stack.h>

#include <cmath>

namespace thresher {

std::unique_ptr<Heads> make_heads(const ModelSpec& spec, Builder& builder) {
    return spec.name == "ssd" ? make_ssd_heads(spec, builder) : make_retinanet_heads(spec, builder);
}

ModelOutputs outputs_of_heads(const std::vector<at::Tensor>& of_heads, at::Tensor boxes,
                              bool softmax) {
    if (of_heads.size() == 1)
        return {.logits = of_heads.front(), .embedding = {}, .boxes = std::move(boxes)};
    const at::Tensor &a = of_heads[0], &b = of_heads[1];
    const at::Tensor mean =
        softmax ? at::logaddexp(at::log_softmax(a, 2), at::log_softmax(b, 2)).sub(std::log(2.0))
                : at::logaddexp(at::log_sigmoid(a), at::log_sigmoid(b))
                      .sub(at::logaddexp(at::log_sigmoid(a.neg()), at::log_sigmoid(b.neg())));
    return {.logits = mean,
            .embedding = {},
            .boxes = std::move(boxes),
            .head_logits = at::stack(of_heads)};
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
