#include "src/models/networks/layers.hpp"

#include <ATen/Context.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/batch_norm.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/group_norm.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/max_pool2d.h>
#include <ATen/ops/scaled_dot_product_attention.h>

#include <cmath>

#include "src/random/philox.hpp"

namespace thresher {
namespace {

constexpr double kNormMomentum = 0.1;
constexpr double kNormEpsilon = 1e-5;
constexpr std::int64_t kNormGroup = 8;

at::Tensor drop(const at::Tensor& x, at::Tensor mask, double probability, Pass& pass) {
    mask.bernoulli_(1.0 - probability, pass.dropout).div_(1.0 - probability);
    return x.mul(mask);
}

/// x [..., in] w [out, in]^T + b [out]; has no gradients.
at::Tensor onednn_linear(const at::Tensor& x, const at::Tensor& w, const at::Tensor& b) {
    using Function = at::Tensor(
        const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&, std::string_view,
        c10::List<std::optional<c10::Scalar>>, std::optional<std::string_view>);
    static const auto function = c10::Dispatcher::singleton()
                                     .findSchemaOrThrow("mkldnn::_linear_pointwise", "")
                                     .typed<Function>();
    const c10::List<std::optional<c10::Scalar>> no_constants;
    return function.call(x, w, b, "none", no_constants, std::nullopt);
}

}  // namespace

at::Tensor Builder::add(const std::string& name, at::Tensor tensor) {
    tensor.set_requires_grad(true);
    parameters.push_back({scope + name, tensor});
    return tensor;
}

at::Tensor Builder::uniform(const std::string& name, const std::vector<std::int64_t>& shape,
                            double bound) {
    at::Tensor tensor = at::empty(shape, at::kFloat);
    if (!seed_) return add(name, tensor);
    const KeyedRandom random(*seed_, Stream::initialisation,
                             static_cast<std::uint32_t>(parameters.size()));
    float* values = tensor.mutable_data_ptr<float>();
    for (std::int64_t i = 0; i < tensor.numel(); ++i) {
        values[i] = static_cast<float>(bound * (2.0 * random.uniform(i) - 1.0));
    }
    return add(name, tensor);
}

at::Tensor Builder::constant(const std::string& name, const std::vector<std::int64_t>& shape,
                             double value) {
    return add(name, at::full(shape, value, at::kFloat));
}

at::Tensor Builder::buffer(const std::string& name, const std::vector<std::int64_t>& shape,
                           double value) {
    buffers.push_back({scope + name, at::full(shape, value, at::kFloat)});
    return buffers.back().tensor;
}

Linear::Linear(Builder& builder, const std::string& name, std::int64_t in, std::int64_t out,
               double bound) {
    const double default_bound = 1.0 / std::sqrt(static_cast<double>(in));
    weight_ = builder.uniform(name + ".weight", {out, in}, bound > 0.0 ? bound : default_bound);
    bias_ = bound > 0.0 ? builder.constant(name + ".bias", {out}, 0.0)
                        : builder.uniform(name + ".bias", {out}, default_bound);
}

at::Tensor Linear::operator()(const at::Tensor& x, Pass& pass) const {
    pass.flops += 2.0 * static_cast<double>(x.numel()) * static_cast<double>(weight_.size(0));
    return by_onednn_ ? onednn_linear(x, weight_, bias_) : at::linear(x, weight_, bias_);
}

void Linear::prepare_for_scoring() { by_onednn_ = weight_.is_cpu() && at::hasMKLDNN(); }

Conv::Conv(Builder& builder, const std::string& name, std::int64_t in, std::int64_t out,
           std::int64_t kernel, std::int64_t stride, std::int64_t padding)
    : stride_(stride), padding_(padding) {
    const double bound = 1.0 / std::sqrt(static_cast<double>(in * kernel * kernel));
    weight_ = builder.uniform(name + ".weight", {out, in, kernel, kernel}, bound);
    bias_ = builder.uniform(name + ".bias", {out}, bound);
}

Conv::Conv(Builder& builder, const std::string& name, std::int64_t in, std::int64_t out,
           std::int64_t kernel, std::int64_t stride, std::int64_t padding, const Start& start)
    : weight_(builder.uniform(name + ".weight", {out, in, kernel, kernel}, start.bound)),
      bias_(builder.constant(name + ".bias", {out}, start.bias)),
      stride_(stride),
      padding_(padding) {}

at::Tensor Conv::operator()(const at::Tensor& x, Pass& pass) const {
    at::Tensor y = at::conv2d(x, weight_, bias_, stride_, padding_, dilation_);
    pass.flops += 2.0 * static_cast<double>(y.numel()) *
                  static_cast<double>(weight_.numel() / weight_.size(0));
    return y;
}

void Conv::prepare_for_scoring() { weight_ = weight_.contiguous(at::MemoryFormat::ChannelsLast); }

ConvNorm::ConvNorm(Builder& builder, const std::string& conv_name, const std::string& norm_name,
                   std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride,
                   double gain, std::int64_t dilation) {
    conv_.stride_ = stride;
    conv_.padding_ = dilation * (kernel / 2);
    conv_.dilation_ = dilation;
    // Kaiming: variance 2 / fan_out; that of the uniform distribution on (-b, b) is b^2 / 3.
    conv_.weight_ = builder.uniform(conv_name + ".weight", {out, in, kernel, kernel},
                                    std::sqrt(6.0 / static_cast<double>(out * kernel * kernel)));
    gain_ = builder.constant(norm_name + ".weight", {out}, gain);
    bias_ = builder.constant(norm_name + ".bias", {out}, 0.0);
    mean_ = builder.buffer(norm_name + ".running_mean", {out}, 0.0);
    variance_ = builder.buffer(norm_name + ".running_var", {out}, 1.0);
}

at::Tensor ConvNorm::operator()(const at::Tensor& x, Pass& pass) const {
    at::Tensor y = conv_(x, pass);
    if (!gain_.defined()) return y;
    return at::batch_norm(y, gain_, bias_, mean_, variance_, pass.training, kNormMomentum,
                          kNormEpsilon, true);
}

void ConvNorm::prepare_for_scoring() {
    const at::Tensor factor = gain_.div(variance_.add(kNormEpsilon).sqrt_());
    conv_.weight_ = conv_.weight_.mul(factor.view({-1, 1, 1, 1}));
    conv_.bias_ = bias_.sub(mean_.mul(factor));
    conv_.prepare_for_scoring();
    gain_ = bias_ = mean_ = variance_ = at::Tensor();
}

LayerNorm::LayerNorm(Builder& builder, const std::string& name, std::int64_t size)
    : weight_(builder.constant(name + ".weight", {size}, 1.0)),
      bias_(builder.constant(name + ".bias", {size}, 0.0)),
      size_(size) {}

at::Tensor LayerNorm::operator()(const at::Tensor& x) const {
    return at::layer_norm(x, {size_}, weight_, bias_, 1e-6);
}

GroupNorm::GroupNorm(Builder& builder, const std::string& name, std::int64_t channels)
    : weight_(builder.constant(name + ".weight", {channels}, 1.0)),
      bias_(builder.constant(name + ".bias", {channels}, 0.0)) {}

at::Tensor GroupNorm::operator()(const at::Tensor& x) const {
    return at::group_norm(x, x.size(1) / kNormGroup, weight_, bias_, kNormEpsilon);
}

at::Tensor dropout(const at::Tensor& x, double probability, Pass& pass) {
    if (probability > 0.0 && pass.masks != nullptr) return pass.masks->drop(x, probability);
    if (!pass.training || probability <= 0.0) return x;
    return drop(x, at::empty(x.sizes(), x.options()), probability, pass);
}

at::Tensor dropout_channels(const at::Tensor& x, double probability, Pass& pass) {
    if (probability > 0.0 && pass.masks != nullptr) {
        return pass.masks->drop_channels(x, probability);
    }
    if (!pass.training || probability <= 0.0) return x;
    return drop(x, at::empty({x.size(0), x.size(1), 1, 1}, x.options()), probability, pass);
}

at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                     const at::Tensor& mask, Pass& pass) {
    pass.flops += 4.0 * static_cast<double>(q.numel()) * static_cast<double>(k.size(2));
    if (!mask.defined()) return at::scaled_dot_product_attention(q, k, v);
    return at::scaled_dot_product_attention(q, k, v, mask);
}

at::Tensor max_pool(const at::Tensor& x, std::int64_t kernel, std::int64_t stride,
                    std::int64_t padding, bool round_up) {
    return at::max_pool2d(x, kernel, stride, padding, 1, round_up);
}

at::Tensor gelu(const at::Tensor& x) { return at::gelu(x); }

at::Tensor concatenate(const at::Tensor& a, const at::Tensor& b, std::int64_t dimension) {
    return at::cat({a, b}, dimension);
}

}  // namespace thresher
