#pragma once

// The layers the built-in networks are made of: plain tensors and a forward each. A Builder makes
// their tensors and remembers them by name, so that saving, copying and training need no
// reflection.

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "src/models/dropout_masks.hpp"
#include "src/models/tensors.hpp"

namespace thresher {

/// One run of a network: its mode, its source of dropout masks, and the operations it has cost.
struct Pass {
    bool training = false;
    at::Generator dropout;
    DropoutMasks* masks = nullptr;  ///< dropout follows these, in any mode
    double flops = 0.0;
};

class ConvNorm;

/// Makes the tensors of a network. Initial values are uniform, from Philox keyed by (seed, index of
/// the tensor, index of the element): the same bits on any machine.
class Builder {
  public:
    /// Without a seed the tensors are left for the caller to fill.
    explicit Builder(std::optional<std::uint64_t> seed) : seed_(seed) {}

    /// Uniform on (-bound, bound).
    at::Tensor uniform(const std::string& name, const std::vector<std::int64_t>& shape,
                       double bound);
    at::Tensor constant(const std::string& name, const std::vector<std::int64_t>& shape,
                        double value);
    at::Tensor buffer(const std::string& name, const std::vector<std::int64_t>& shape,
                      double value);

    std::vector<NamedTensor> parameters, buffers;
    std::string scope;  ///< put before the names that follow

  private:
    at::Tensor add(const std::string& name, at::Tensor tensor);

    std::optional<std::uint64_t> seed_;
};

class Linear {
  public:
    Linear() = default;
    /// Weights uniform on (-1, 1) / sqrt(in), PyTorch's default, unless a `bound` is given.
    Linear(Builder& builder, const std::string& name, std::int64_t in, std::int64_t out,
           double bound = 0.0);
    at::Tensor operator()(const at::Tensor& x, Pass& pass) const;
    std::int64_t inputs() const { return weight_.size(1); }
    std::int64_t outputs() const { return weight_.size(0); }

    /// From here on by oneDNN where it is built in, without gradients: at::linear takes MKL's
    /// products, which use half of the vector width on processors that are not Intel's.
    void prepare_for_scoring();

  private:
    at::Tensor weight_, bias_;
    bool by_onednn_ = false;
};

class Conv {
  public:
    /// Weights uniform on (-bound, bound), all biases the same.
    struct Start {
        double bound, bias = 0.0;
    };

    Conv() = default;
    /// PyTorch's default initialisation.
    Conv(Builder& builder, const std::string& name, std::int64_t in, std::int64_t out,
         std::int64_t kernel, std::int64_t stride = 1, std::int64_t padding = 0);
    Conv(Builder& builder, const std::string& name, std::int64_t in, std::int64_t out,
         std::int64_t kernel, std::int64_t stride, std::int64_t padding, const Start& start);
    at::Tensor operator()(const at::Tensor& x, Pass& pass) const;

    const at::Tensor& weight() const { return weight_; }
    const at::Tensor& bias() const { return bias_; }

    void prepare_for_scoring();

  private:
    friend class ConvNorm;
    at::Tensor weight_, bias_;
    std::int64_t stride_ = 1, padding_ = 0, dilation_ = 1;
};

/// A convolution without bias followed by batch normalisation (momentum 0.1, epsilon 1e-5), and
/// where asked for by a ReLU. For scoring the two become one convolution: w' = w g / sqrt(var +
/// epsilon), b' = beta - mean g / sqrt(var + epsilon).
class ConvNorm {
  public:
    ConvNorm() = default;
    /// Kaiming initialisation by fan-out; the norm's gain starts at `gain`. Padded so that stride 1
    /// keeps the size of an image.
    ConvNorm(Builder& builder, const std::string& conv_name, const std::string& norm_name,
             std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride,
             double gain = 1.0, std::int64_t dilation = 1);
    at::Tensor operator()(const at::Tensor& x, Pass& pass) const;

    void prepare_for_scoring();

  private:
    Conv conv_;
    at::Tensor gain_, bias_, mean_, variance_;
};

class LayerNorm {
  public:
    LayerNorm() = default;
    LayerNorm(Builder& builder, const std::string& name, std::int64_t size);
    at::Tensor operator()(const at::Tensor& x) const;

  private:
    at::Tensor weight_, bias_;
    std::int64_t size_ = 0;
};

/// Over the places of an image and groups of 8 channels: nothing depends on the other images, so it
/// suits layers that several levels of features share.
class GroupNorm {
  public:
    GroupNorm() = default;
    GroupNorm(Builder& builder, const std::string& name, std::int64_t channels);
    at::Tensor operator()(const at::Tensor& x) const;

  private:
    at::Tensor weight_, bias_;
};

/// Drops single elements in train mode or where the pass has masks, or whole channels of [n, c, h,
/// w]; what stays is scaled by 1 / (1 - probability).
at::Tensor dropout(const at::Tensor& x, double probability, Pass& pass);
at::Tensor dropout_channels(const at::Tensor& x, double probability, Pass& pass);

/// Multi-head attention softmax(q k^T / sqrt(d)) v of q, k, v [n, heads, tokens, d]; where `mask`
/// [n, 1, 1, tokens] is defined, to the tokens at which it is true alone.
at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                     const at::Tensor& mask, Pass& pass);

/// With `round_up` the last window may reach beyond the image.
at::Tensor max_pool(const at::Tensor& x, std::int64_t kernel, std::int64_t stride,
                    std::int64_t padding = 0, bool round_up = false);
at::Tensor gelu(const at::Tensor& x);
at::Tensor concatenate(const at::Tensor& a, const at::Tensor& b, std::int64_t dimension);

}  // namespace thresher
