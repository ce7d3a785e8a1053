#include "src/models/networks/residual.hpp"

namespace thresher {

ResidualBlock::ResidualBlock(Builder& builder, const std::string& name, std::int64_t in,
                             std::int64_t width, std::int64_t stride, bool bottleneck) {
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
        shortcut_.emplace_back(builder, name + ".downsample.0", name + ".downsample.1", in, out, 1,
                               stride);
    }
}

at::Tensor ResidualBlock::operator()(const at::Tensor& x, Pass& pass) const {
    at::Tensor h = x;
    for (std::size_t i = 0; i + 1 < body_.size(); ++i) h = body_[i](h, pass).relu_();
    h = body_.back()(h, pass);
    h += shortcut_.empty() ? x : shortcut_.front()(x, pass);
    return h.relu_();
}

void ResidualBlock::prepare_for_scoring() {
    for (ConvNorm& layer : body_) layer.prepare_for_scoring();
    for (ConvNorm& layer : shortcut_) layer.prepare_for_scoring();
}

ResidualStages::ResidualStages(Builder& builder, std::int64_t channels, const ResidualShape& shape,
                               bool small_stem)
    : small_stem_(small_stem),
      channels_(64),
      stem_(builder, "conv1", "bn1", channels, 64, small_stem ? 3 : 7, small_stem ? 1 : 2) {
    for (std::size_t stage = 0; stage < shape.depths.size(); ++stage) {
        const std::int64_t width = std::int64_t{64} << stage;
        auto& blocks = stages_.emplace_back();
        for (int i = 0; i < shape.depths[stage]; ++i) {
            const std::int64_t stride = stage > 0 && i == 0 ? 2 : 1;
            blocks.emplace_back(builder,
                                "layer" + std::to_string(stage + 1) + "." + std::to_string(i),
                                channels_, width, stride, shape.bottleneck);
            channels_ = shape.bottleneck ? 4 * width : width;
        }
    }
}

at::Tensor ResidualStages::stem(const at::Tensor& x, Pass& pass) const {
    const at::Tensor h = stem_(x, pass).relu_();
    return small_stem_ ? h : max_pool(h, 3, 2, 1);
}

at::Tensor ResidualStages::stage(std::size_t index, const at::Tensor& x, Pass& pass) const {
    at::Tensor h = x;
    for (const ResidualBlock& block : stages_[index]) h = block(h, pass);
    return h;
}

void ResidualStages::prepare_for_scoring() {
    stem_.prepare_for_scoring();
    for (auto& blocks : stages_) {
        for (ResidualBlock& block : blocks) block.prepare_for_scoring();
    }
}

}  // namespace thresher
