#include "src/models/detector/trunk.hpp"

#include <ATen/core/Tensor.h>
#include <ATen/ops/norm.h>

#include "src/models/detector/detector_spec.hpp"
#include "src/models/networks/residual.hpp"

namespace thresher {
namespace {

class SmallTrunk final : public Trunk {
  public:
    SmallTrunk(Builder& builder, std::int64_t channels) {
        const auto add = [&](std::int64_t out, std::int64_t stride, bool ends_level = false) {
            const std::string index = std::to_string(layers_.size());
            layers_.push_back(
                {{builder, "conv" + index, "bn" + index, channels, out, 3, stride}, ends_level});
            channels = out;
        };
        add(16, 2);
        for (const std::int64_t width : {32, 64, 96, 128}) {
            add(width, 2);
            add(width, 1, true);
        }
    }

    std::vector<at::Tensor> operator()(const at::Tensor& x, Pass& pass) const override {
        std::vector<at::Tensor> levels;
        at::Tensor h = x;
        for (const Layer& layer : layers_) {
            h = layer.conv(h, pass).relu_();
            if (layer.ends_level) levels.push_back(h);
        }
        return levels;
    }

    void prepare_for_scoring() override {
        for (Layer& layer : layers_) layer.conv.prepare_for_scoring();
    }

  private:
    struct Layer {
        ConvNorm conv;
        bool ends_level;
    };
    std::vector<Layer> layers_;
};

class VggTrunk final : public Trunk {
  public:
    VggTrunk(Builder& builder, std::int64_t channels) {
        int index = 0;  // of torchvision's list, in which batch-norm, ReLU and pooling count
        for (const auto& [count, width] : kStages) {
            auto& stage = stages_.emplace_back();
            for (int i = 0; i < count; ++i, index += 3) {
                stage.emplace_back(builder, "features." + std::to_string(index),
                                   "features." + std::to_string(index + 1), channels, width, 3, 1);
                channels = width;
            }
            ++index;
        }
        scale_ = builder.constant("scale_weight", {channels}, 20.0);
        fc6_ = ConvNorm(builder, "fc6", "bn6", channels, 1024, 3, 1, 1.0, 6);
        fc7_ = ConvNorm(builder, "fc7", "bn7", 1024, 1024, 1, 1);
    }

    std::vector<at::Tensor> operator()(const at::Tensor& x, Pass& pass) const override {
        at::Tensor h = x, fourth;
        for (std::size_t i = 0; i < stages_.size(); ++i) {
            for (const ConvNorm& layer : stages_[i]) h = layer(h, pass).relu_();
            if (i == 3) fourth = h;
            h = i == 4 ? max_pool(h, 3, 1, 1) : max_pool(h, 2, 2, 0, i == 2);
        }
        h = fc7_(fc6_(h, pass).relu_(), pass).relu_();
        const at::Tensor length = fourth.norm(2, {1}, true).clamp_min(1e-12);
        return {fourth.div(length).mul(scale_.view({1, -1, 1, 1})), h};
    }

    void prepare_for_scoring() override {
        for (auto& stage : stages_) {
            for (ConvNorm& layer : stage) layer.prepare_for_scoring();
        }
        fc6_.prepare_for_scoring();
        fc7_.prepare_for_scoring();
    }

  private:
    struct Stage {
        int count;
        std::int64_t width;
    };
    static constexpr Stage kStages[]{{2, 64}, {2, 128}, {3, 256}, {3, 512}, {3, 512}};

    std::vector<std::vector<ConvNorm>> stages_;
    at::Tensor scale_;
    ConvNorm fc6_, fc7_;
};

class ResidualTrunk final : public Trunk {
  public:
    ResidualTrunk(Builder& builder, std::int64_t channels, const ResidualShape& shape)
        : stages_(builder, channels, shape, false) {}

    std::vector<at::Tensor> operator()(const at::Tensor& x, Pass& pass) const override {
        std::vector<at::Tensor> levels;
        at::Tensor h = stages_.stem(x, pass);
        for (std::size_t i = 0; i < stages_.count(); ++i) {
            h = stages_.stage(i, h, pass);
            if (i > 0) levels.push_back(h);
        }
        return levels;
    }

    void prepare_for_scoring() override { stages_.prepare_for_scoring(); }

  private:
    ResidualStages stages_;
};

}  // namespace

std::unique_ptr<Trunk> make_trunk(const ModelSpec& spec, Builder& builder) {
    const std::string& trunk = spec.detector->trunk;
    const std::int64_t channels = spec.input_shape[0];
    if (trunk == "small") return std::make_unique<SmallTrunk>(builder, channels);
    if (trunk == "vgg16") return std::make_unique<VggTrunk>(builder, channels);
    return std::make_unique<ResidualTrunk>(builder, channels,
                                           trunk == "resnet18" ? kResnet18 : kResnet50);
}

}  // namespace thresher
