// The two light networks: a multi-layer perceptron, and the convolutional network with dropout that
// the active-learning literature uses (Kirsch, van Amersfoort and Gal, "BatchBALD", 2019).

#include "src/models/network.hpp"

namespace thresher {
namespace {

class Mlp final : public Network {
  public:
    Mlp(const ModelSpec& spec, Builder& builder) {
        std::int64_t width = 1;
        for (std::int64_t extent : spec.input_shape) width *= extent;
        int index = 1;
        for (std::int64_t hidden : spec.hidden) {
            layers_.emplace_back(builder, "fc" + std::to_string(index++), width, hidden);
            width = hidden;
        }
        last_ = Linear(builder, "fc" + std::to_string(index), width, spec.classes);
    }

    ModelOutputs forward(const at::Tensor& x, Pass& pass) const override {
        at::Tensor h = x.flatten(1);
        for (const Linear& layer : layers_) h = layer(h, pass).relu_();
        return {last_(h, pass), h};
    }

  private:
    std::vector<Linear> layers_;
    Linear last_;
};

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

    ModelOutputs forward(const at::Tensor& x, Pass& pass) const override {
        at::Tensor h = max_pool(dropout_channels(conv1_(x, pass), dropout_, pass), 2, 2).relu_();
        h = max_pool(dropout_channels(conv2_(h, pass), dropout_, pass), 2, 2).relu_();
        h = dropout(fc1_(h.flatten(1), pass).relu_(), dropout_, pass);
        return {fc2_(h, pass), h};
    }

    void prepare_for_scoring() override {
        conv1_.prepare_for_scoring();
        conv2_.prepare_for_scoring();
    }

  private:
    double dropout_;
    Conv conv1_, conv2_;
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
