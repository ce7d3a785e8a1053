// The feature pyramid and the heads of RetinaNet (Lin et al., "Focal loss for dense object
// detection", 2017). Its towers have no normalisation and start with a standard deviation of 0.01,
// above weights of ImageNet; here training starts from scratch, for which they have Kaiming's
// standard deviation and group norm, as torchvision's second version has.

#include <ATen/core/Tensor.h>
#include <ATen/ops/upsample_nearest2d.h>

#include <cmath>
#include <optional>

#include "src/models/detector/detector_spec.hpp"
#include "src/models/detector/heads.hpp"

namespace thresher {
namespace {

constexpr std::int64_t kCode = 4;
/// The probability that all classes start from: most anchors are for nothing.
constexpr double kFirstProbability = 0.01;

/// Uniform with a standard deviation of 0.01.
Conv::Start faint(double bias = 0.0) { return {0.01 * std::sqrt(3.0), bias}; }

class Pyramid {
  public:
    Pyramid(const ModelSpec& spec, std::int64_t width, Builder& builder) {
        const auto name = [](const char* what, std::size_t i) {
            return "fpn." + std::string(what) + "." + std::to_string(i);
        };
        // No ReLU follows these.
        const auto start = [](std::int64_t in, std::int64_t kernel) {
            return Conv::Start{kaiming_bound(in, kernel) / std::sqrt(2.0)};
        };
        const std::vector<FeatureLevel> levels = trunk_levels(spec);
        for (std::size_t i = 0; i < levels.size(); ++i) {
            const std::int64_t in = levels[i].channels;
            inner_.emplace_back(builder, name("inner", i), in, width, 1, 1, 0, start(in, 1));
        }
        for (std::size_t i = 0; i < levels.size(); ++i) {
            outer_.emplace_back(builder, name("outer", i), width, width, 3, 1, 1, start(width, 3));
        }
        for (std::size_t i = levels.size(); i < detector_levels(spec).size(); ++i) {
            coarser_.emplace_back(builder, name("coarser", i - levels.size()), width, width, 3, 2,
                                  1, start(width, 3));
        }
    }

    std::vector<at::Tensor> operator()(const std::vector<at::Tensor>& features, Pass& pass) const {
        std::vector<at::Tensor> levels(features.size());
        at::Tensor above;
        for (std::size_t i = features.size(); i-- > 0;) {
            at::Tensor h = inner_[i](features[i], pass);
            if (above.defined()) {
                h = h.add(at::upsample_nearest2d(above, {h.size(2), h.size(3)}));
            }
            levels[i] = outer_[i](h, pass);
            above = h;
        }
        for (std::size_t i = 0; i < coarser_.size(); ++i) {
            levels.push_back(coarser_[i](i == 0 ? levels.back() : levels.back().relu(), pass));
        }
        return levels;
    }

    void prepare_for_scoring() {
        for (auto* convs : {&inner_, &outer_, &coarser_}) {
            for (Conv& conv : *convs) conv.prepare_for_scoring();
        }
    }

  private:
    std::vector<Conv> inner_, outer_, coarser_;
};

/// 3x3 convolutions with group norm and ReLU, and a last one without, for every level.
class Tower {
  public:
    Tower(const std::string& name, const RetinanetSize& size, std::int64_t shapes,
          std::int64_t numbers, const Conv::Start& last, Builder& builder)
        : numbers_(numbers) {
        for (std::int64_t i = 0; i < size.depth; ++i) {
            const std::string layer = name + "." + std::to_string(i);
            convs_.emplace_back(builder, layer, size.width, size.width, 3, 1, 1,
                                Conv::Start{kaiming_bound(size.width, 3)});
            norms_.emplace_back(builder, layer + ".norm", size.width);
        }
        convs_.emplace_back(builder, name + "." + std::to_string(size.depth), size.width,
                            shapes * numbers, 3, 1, 1, last);
    }

    at::Tensor operator()(const std::vector<at::Tensor>& levels, Pass& pass) const {
        std::vector<at::Tensor> outputs;
        for (at::Tensor h : levels) {
            for (std::size_t i = 0; i < norms_.size(); ++i)
                h = norms_[i](convs_[i](h, pass)).relu_();
            outputs.push_back(convs_.back()(h, pass));
        }
        return by_anchor(outputs, numbers_);
    }

    void prepare_for_scoring() {
        for (Conv& conv : convs_) conv.prepare_for_scoring();
    }

  private:
    std::int64_t numbers_;
    std::vector<Conv> convs_;
    std::vector<GroupNorm> norms_;
};

class RetinanetHeads final : public Heads {
  public:
    RetinanetHeads(const ModelSpec& spec, const RetinanetSize& size, std::int64_t shapes,
                   Builder& builder)
        : pyramid_(spec, size.width, builder) {
        const auto add_classes = [&](const char* name) {
            logits_.emplace_back(name, size, shapes, spec.classes,
                                 faint(-std::log((1.0 - kFirstProbability) / kFirstProbability)),
                                 builder);
        };
        add_classes("logits");
        boxes_.emplace("boxes", size, shapes, kCode, faint(), builder);
        if (spec.detector->class_heads == 2) add_classes("second_logits");
    }

    ModelOutputs operator()(const std::vector<at::Tensor>& features, Pass& pass) const override {
        const std::vector<at::Tensor> levels = pyramid_(features, pass);
        std::vector<at::Tensor> of_heads;
        for (const Tower& head : logits_) of_heads.push_back(head(levels, pass));
        return outputs_of_heads(of_heads, (*boxes_)(levels, pass), false);
    }

    void prepare_for_scoring() override {
        pyramid_.prepare_for_scoring();
        for (Tower& head : logits_) head.prepare_for_scoring();
        boxes_->prepare_for_scoring();
    }

  private:
    Pyramid pyramid_;
    std::vector<Tower> logits_;  ///< by class head
    std::optional<Tower> boxes_;
};

}  // namespace

std::unique_ptr<Heads> make_retinanet_heads(const ModelSpec& spec, Builder& builder) {
    const DetectorSpec& detector = *spec.detector;
    return std::make_unique<RetinanetHeads>(spec, retinanet_size(detector),
                                            std::ssize(detector.anchors.front()), builder);
}

}  // namespace thresher
