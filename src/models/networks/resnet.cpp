// Residual networks that tell classes apart. Inputs of up to 64 pixels get the stem customary for
// CIFAR: one 3x3 convolution, no pooling.

#include "src/models/networks/network.hpp"
#include "src/models/networks/residual.hpp"

namespace thresher {
namespace {

constexpr std::int64_t kLargestSmallImage = 64;

class ResNet final : public Network {
  public:
    ResNet(const ModelSpec& spec, Builder& builder, const ResidualShape& shape)
        : dropout_(spec.dropout) {
        const ImageShape image = image_shape(spec, 8);
        const bool small = image.height <= kLargestSmallImage && image.width <= kLargestSmallImage;
        stages_ = ResidualStages(builder, image.channels, shape, small);
        fc_ = Linear(builder, "fc", stages_.channels(), spec.classes);
    }

    at::Tensor prefix(const at::Tensor& x, Pass& pass) const override {
        at::Tensor h = stages_.stem(x, pass);
        for (std::size_t i = 0; i < stages_.count(); ++i) h = stages_.stage(i, h, pass);
        return h.mean({2, 3});
    }

    ModelOutputs rest(const at::Tensor& pooled, Pass& pass) const override {
        const at::Tensor h = dropout(pooled, dropout_, pass);
        return {fc_(h, pass), h};
    }

    std::int64_t embedding_size() const override { return fc_.inputs(); }

    void prepare_for_scoring() override { stages_.prepare_for_scoring(); }

  private:
    double dropout_;  ///< before the last layer
    ResidualStages stages_;
    Linear fc_;
};

}  // namespace

std::unique_ptr<Network> make_resnet18(const ModelSpec& spec, Builder& builder) {
    return std::make_unique<ResNet>(spec, builder, kResnet18);
}

std::unique_ptr<Network> make_resnet34(const ModelSpec& spec, Builder& builder) {
    return std::make_unique<ResNet>(spec, builder, kResnet34);
}

std::unique_ptr<Network> make_resnet50(const ModelSpec& spec, Builder& builder) {
    return std::make_unique<ResNet>(spec, builder, kResnet50);
}

}  // namespace thresher
