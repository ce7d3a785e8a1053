#pragma once

// The layer that transformers are made of: norms before attention and perceptron, tensors named as
// in timm.

#include <string>

#include "src/models/networks/layers.hpp"

namespace thresher {

/// Uniform with the standard deviation 0.02 that transformers start from: 0.02 sqrt(3).
inline constexpr double kTransformerBound = 0.034641016151377546;

class TransformerBlock {
  public:
    TransformerBlock(Builder& builder, const std::string& name, std::int64_t width,
                     std::int64_t heads, double dropout);

    /// x [n, tokens, width] and `mask` as in attention().
    at::Tensor operator()(const at::Tensor& x, const at::Tensor& mask, Pass& pass) const;

    void prepare_for_scoring();

  private:
    std::int64_t heads_;
    double dropout_;
    LayerNorm norm1_;
    Linear qkv_, project_;
    LayerNorm norm2_;
    Linear fc1_, fc2_;
};

}  // namespace thresher
