#include "src/models/networks/transformer.hpp"

namespace thresher {

TransformerBlock::TransformerBlock(Builder& builder, const std::string& name, std::int64_t width,
                                   std::int64_t heads, double dropout)
    : heads_(heads),
      dropout_(dropout),
      norm1_(builder, name + ".norm1", width),
      qkv_(builder, name + ".attn.qkv", width, 3 * width, kTransformerBound),
      project_(builder, name + ".attn.proj", width, width, kTransformerBound),
      norm2_(builder, name + ".norm2", width),
      fc1_(builder, name + ".mlp.fc1", width, 4 * width, kTransformerBound),
      fc2_(builder, name + ".mlp.fc2", 4 * width, width, kTransformerBound) {}

at::Tensor TransformerBlock::operator()(const at::Tensor& x, const at::Tensor& mask,
                                        Pass& pass) const {
    const std::int64_t rows = x.size(0), tokens = x.size(1), width = x.size(2);
    const at::Tensor qkv = qkv_(norm1_(x), pass)
                               .view({rows, tokens, 3, heads_, width / heads_})
                               .permute({2, 0, 3, 1, 4});
    const at::Tensor mixed = attention(qkv[0], qkv[1], qkv[2], mask, pass)
                                 .transpose(1, 2)
                                 .reshape({rows, tokens, width});
    const at::Tensor h = x.add(dropout(project_(mixed, pass), dropout_, pass));
    return h.add(dropout(fc2_(thresher::gelu(fc1_(norm2_(h), pass)), pass), dropout_, pass));
}

void TransformerBlock::prepare_for_scoring() {
    for (Linear* layer : {&qkv_, &project_, &fc1_, &fc2_}) layer->prepare_for_scoring();
}

}  // namespace thresher
