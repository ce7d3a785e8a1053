// The two light networks: a multi-layer perceptron, and the convolutional network with dropout that
// the active-learning literature uses (Kirsch, van Amersfoort and Gal, "BatchBALD", 2019).

#include "src/models/network.hpp"

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

  private:
    double dropout_;
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

    std::int64_t embedding_size() const override { return fc2_.inputs(); }

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
