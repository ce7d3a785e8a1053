#pragma once

// The weights of a shard's rows as a tensor; only for code that computes with LibTorch.

#include <ATen/core/Tensor.h>
#include <ATen/ops/from_blob.h>

#include <span>
#include <vector>

#include "src/pool/blocks.hpp"

namespace thresher {

/// Those of `rows`, on the device of `like`.
inline at::Tensor weights_of(std::span<const float> weights, RowRange rows,
                             const at::Tensor& like) {
    std::vector<float> part(weights.begin() + rows.begin, weights.begin() + rows.end);
    return at::from_blob(part.data(), {rows.size()}, at::TensorOptions(at::kFloat))
        .to(like.options(), false, true);
}

}  // namespace thresher
