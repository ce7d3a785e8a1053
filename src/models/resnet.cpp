// Residual networks (He et al., "Deep residual learning", 2016), tensors named as in torchvision.
// Inputs of up to 64 pixels get the stem customary for CIFAR: one 3x3 convolution, no pooling.

#include "src/models/network.hpp"

namespace thresher {
namespace {

constexpr std::int64_t kLargestSmallImage = 64;

class ResidualBlock {
  public:
    /// Two 3x3 convolutions, or with `bottleneck` 1x1, 3x3, 1x1 with four times the channels.
    ResidualBlock(Builder& builder, const std::string& name, std::int64_t in, std::int64_t width,
                  std::int64_t stride, bool bottleneck) {
        const std::int64_t out = bottleneck ? 4 * width : width;
        const auto add = [&](int index, std::int64_t from, std::int64_t to, std::int64_t kernel,
                             std::int64_t step) {
            body_.emplace_back(builder, name + ".conv" + std::to_string(index),
                               name + ".bn" + std::to_string(index), from, to, kernel, step);
        };
        if (bottleneck) {
            add(1, in, width, 1, 1);
            add(2, width, width, 3, stride);
            add(3, width, out, 1, 1);
        } else {
            add(1, in, width, 3, stride);
            add(2, width, width, 3, 1);
        }
        if (stride != 1 || in != out) {
            shortcut_.emplace_back(builder, name + ".downsample.0", name + ".downsample.1", in, out,
                                   1, stride);
        }
    }

    at::Tensor operator()(const at::Tensor& x, Pass& pass) const {
        at::Tensor h = x;
        for (std::size_t i = 0; i + 1 < body_.size(); ++i) h = body_[i](h, pass).relu_();
        h = body_.back()(h, pass);
        h += shortcut_.empty() ? x : shortcut_.front()(x, pass);
        return h.relu_();
    }

    void prepare_for_scoring() {
        for (ConvNorm& layer : body_) layer.prepare_for_scoring();
        for (ConvNorm& layer : shortcut_) layer.prepare_for_scoring();
    }

  private:
    std::vector<ConvNorm> body_, shortcut_;
};

class ResNet final : public Network {
  public:
    ResNet(const ModelSpec& spec, Builder& builder, const std::vector<int>& depths, bool bottleneck)
        : dropout_(spec.dropout) {
        const ImageShape image = image_shape(spec, 8);
        small_ = image.height <= kLargestSmallImage && image.width <= kLargestSmallImage;
        stem_ =
            ConvNorm(builder, "conv1", "bn1", image.channels, 64, small_ ? 3 : 7, small_ ? 1 : 2);
        std::int64_t channels = 64;
        for (std::size_t stage = 0; stage < depths.size(); ++stage) {
            const std::int64_t width = std::int64_t{64} << stage;
            for (int i = 0; i < depths[stage]; ++i) {
                const std::int64_t stride = stage > 0 && i == 0 ? 2 : 1;
                blocks_.emplace_back(builder,
                                     "layer" + std::to_string(stage + 1) + "." + std::to_string(i),
                                     channels, width, stride, bottleneck);
                channels = bottleneck ? 4 * width : width;
            }
        }
        fc_ = Linear(builder, "fc", channels, spec.classes);
    }

    at::Tensor prefix(const at::Tensor& x, Pass& pass) const override {
        at::Tensor h = stem_(x, pass).relu_();
        if (!small_) h = max_pool(h, 3, 2, 1);
        for (const ResidualBlock& block : blocks_) h = block(h, pass);
        return h.mean({2, 3});
    }

    ModelOutputs rest(const at::Tensor& pooled, Pass& pass) const override {
        const at::Tensor h = dropout(pooled, dropout_, pass);
        return {fc_(h, pass), h};
    }

    std::int64_t embedding_size() const override { return fc_.inputs(); }

    void prepare_for_scoring() override {
        stem_.prepare_for_scoring();
        for (ResidualBlock& block : blocks_) block.prepare_for_scoring();
    }

  private:
    double dropout_;  ///< before the last layer
    bool small_;
    ConvNorm stem_;
    std::vector<ResidualBlock> blocks_;
    Linear fc_;
};

}  // namespace

std::unique_ptr<Network> make_resnet18(const ModelSpec& spec, Builder& builder) {
    return std::make_unique<ResNet>(spec, builder, std::vector<int>{2, 2, 2, 2}, false);
}

std::unique_ptr<Network> make_resnet34(const ModelSpec& spec, Builder& builder) {
    return std::make_unique<ResNet>(spec, builder, std::vector<int>{3, 4, 6, 3}, false);
}

std::unique_ptr<Network> make_resnet50(const ModelSpec& spec, Builder& builder) {
    return std::make_unique<ResNet>(spec, builder, std::vector<int>{3, 4, 6, 3}, true);
}

}  // namespace thresher
