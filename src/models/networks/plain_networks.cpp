// The two light networks: a multi-layer perceptron, and the convolutional network with dropout that
// the active-learning literature uses (Kirsch, van Amersfoort and Gal, "BatchBALD", 2019).

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <c10/core/InferenceMode.h>

#include "src/models/networks/network.hpp"

namespace thresher {
namespace {

class Mlp final : public Network {
  public:
    Mlp(const ModelSpec& spec, Builder& builder) : dropout_(spec.dropout) {
        std::int64_t width = 1;
        for (std::int64_t extent : spec.input_shape) width *= extent;
        int index = 1;
        for (std::int64_t hidden : spec.hidden) {
            layers_.emplace_back(builder, "fc" + std::to_string(index++), width, hidden);
            width = hidden;
        }
        last_ = Linear(builder, "fc" + std::to_string(index), width, spec.classes);
    }

    at::Tensor prefix(const at::Tensor& x, Pass& pass) const override {
        const at::Tensor h = x.flatten(1);
        return layers_.empty() ? h : layers_.front()(h, pass).relu_();
    }

    ModelOutputs rest(const at::Tensor& first, Pass& pass) const override {
        at::Tensor h = first;
        for (std::size_t i = 0; i < layers_.size(); ++i) {
            if (i > 0) h = layers_[i](h, pass).relu_();
            h = dropout(h, dropout_, pass);
        }
        return {last_(h, pass), h};
    }

    std::int64_t embedding_size() const override { return last_.inputs(); }

    void prepare_for_scoring() override {
        for (Linear& layer : layers_) layer.prepare_for_scoring();
        last_.prepare_for_scoring();
    }

  private:
    double dropout_;
    std::vector<Linear> layers_;
    Linear last_;
};

/// What each channel of one image x [in, h, w] gives by itself under filters [in, kernel, kernel,
/// out]: [in, h', w', out]. The sum over channels is a convolution without bias.
at::Tensor by_channel(const at::Tensor& x, const at::Tensor& filters, Pass& pass) {
    const std::int64_t in = filters.size(0), kernel = filters.size(1), out = filters.size(3);
    const at::Tensor patches = x.unfold(1, kernel, 1).unfold(2, kernel, 1);
    const std::int64_t height = patches.size(1), width = patches.size(2);
    const at::Tensor parts = patches.reshape({in, height * width, kernel * kernel})
                                 .matmul(filters.view({in, kernel * kernel, out}));
    pass.flops += 2.0 * static_cast<double>(parts.numel() * kernel * kernel);
    return parts.view({in, height, width, out});
}

class Cnn final : public Network {
  public:
    Cnn(const ModelSpec& spec, Builder& builder) : dropout_(spec.dropout) {
        const ImageShape image = image_shape(spec, 16);
        conv1_ = Conv(builder, "conv1", image.channels, 32, 5);
        conv2_ = Conv(builder, "conv2", 32, 64, 5);
        const auto after = [](std::int64_t side) { return ((side - 4) / 2 - 4) / 2; };
        fc1_ = Linear(builder, "fc1", 64 * after(image.height) * after(image.width), 128);
        fc2_ = Linear(builder, "fc2", 128, spec.classes);
    }

    // Dropping channels changes places with pooling and ReLU, whose result is the same: it has a
    // quarter of the work there, and the pooling is done once for all samples.
    at::Tensor prefix(const at::Tensor& x, Pass& pass) const override {
        return max_pool(conv1_(x, pass), 2, 2).relu_();
    }

    ModelOutputs rest(const at::Tensor& first, Pass& pass) const override {
        at::Tensor h = dropout_channels(first, dropout_, pass);
        h = dropout_channels(max_pool(conv2_(h, pass), 2, 2).relu_(), dropout_, pass);
        h = dropout(fc1_(h.flatten(1), pass).relu_(), dropout_, pass);
        return {fc2_(h, pass), h};
    }

    // A convolution of channels, some of them dropped, is the sum of what each kept channel gives
    // by itself. That is the same in all samples, and the sum over 32 channels that is left to each
    // takes a 25th of the operations. Row by row, so that a row's bits are its own and that
    // everything stays in cache.
    at::Tensor sample(const at::Tensor& first, const MaskKeys& keys, std::int64_t samples,
                      Pass& pass) const override {
        if (!first.is_cpu()) return Network::sample(first, keys, samples, pass);
        const std::int64_t rows = first.size(0), channels = first.size(1), filters = 64;
        const at::Tensor masks1 = dropout_masks(keys, samples, 0, channels, dropout_);
        const at::Tensor masks2 = dropout_masks(keys, samples, 1, filters, dropout_);
        const at::Tensor masks3 = dropout_masks(keys, samples, 2, fc2_.inputs(), dropout_);
        const auto of_row = [&](const at::Tensor& masks, std::int64_t row) {
            return masks.select(1, keys.consistent ? 0 : row);
        };
        const at::Tensor logits = at::empty({samples, rows, fc2_.outputs()}, first.options());
        std::vector<double> flops(static_cast<std::size_t>(rows));
        at::parallel_for(0, rows, 1, [&](std::int64_t begin, std::int64_t end) {
            const c10::InferenceMode inference;
            for (std::int64_t row = begin; row < end; ++row) {
                Pass own;
                const at::Tensor parts = by_channel(first[row], conv2_by_channel_, own);
                own.flops += 2.0 * static_cast<double>(samples * parts.numel());
                at::Tensor h = of_row(masks1, row)
                                   .matmul(parts.flatten(1))
                                   .view({samples, parts.size(1), parts.size(2), filters})
                                   .permute({0, 3, 1, 2});
                h = max_pool(h, 2, 2).add_(conv2_.bias().view({filters, 1, 1})).relu_();
                h.mul_(of_row(masks2, row).unsqueeze(2).unsqueeze(3));
                h = fc1_(h.flatten(1), own).relu_().mul_(of_row(masks3, row));
                logits.select(1, row).copy_(fc2_(h, own));
                flops[static_cast<std::size_t>(row)] = own.flops;
            }
        });
        for (const double count : flops) pass.flops += count;
        return logits;
    }

    std::int64_t embedding_size() const override { return fc2_.inputs(); }

    void prepare_for_scoring() override {
        conv1_.prepare_for_scoring();
        conv2_.prepare_for_scoring();
        conv2_by_channel_ = conv2_.weight().permute({1, 2, 3, 0}).contiguous();
    }

  private:
    double dropout_;
    Conv conv1_, conv2_;
    at::Tensor conv2_by_channel_;  ///< [in, kernel, kernel, out]; of the scoring form alone
    Linear fc1_, fc2_;
};

}  // namespace

std::unique_ptr<Network> make_mlp(const ModelSpec& spec, Builder& builder) {
    return std::make_unique<Mlp>(spec, builder);
}

std::unique_ptr<Network> make_cnn(const ModelSpec& spec, Builder& builder) {
    return std::make_unique<Cnn>(spec, builder);
}

}  // namespace thresher
