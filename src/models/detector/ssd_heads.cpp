// The heads of SSD (Liu et al., "SSD: single shot multibox detector", 2016).

#include <ATen/core/Tensor.h>

#include <cmath>

#include "src/models/detector/detector_spec.hpp"
#include "src/models/detector/heads.hpp"

namespace thresher {
namespace {

constexpr std::int64_t kCode = 4;

/// Glorot's uniform distribution, as SSD's heads start from.
Conv::Start glorot(std::int64_t in, std::int64_t out) {
    return {std::sqrt(6.0 / static_cast<double>(9 * (in + out)))};
}

class SsdHeads final : public Heads {
  public:
    SsdHeads(const ModelSpec& spec, Builder& builder) : logits_of_anchor_(spec.classes + 1) {
        const std::vector<FeatureLevel> levels = detector_levels(spec);
        for (std::size_t i = trunk_levels(spec).size(); i < levels.size(); ++i) {
            add_level(levels[i - 1], levels[i].channels, builder);
        }
        const auto add = [&](std::vector<Conv>& convs, const std::string& name,
                             std::int64_t numbers) {
            for (std::size_t i = 0; i < levels.size(); ++i) {
                const std::int64_t in = levels[i].channels;
                const std::int64_t out = std::ssize(spec.detector->anchors[i]) * numbers;
                convs.emplace_back(builder, name + "." + std::to_string(i), in, out, 3, 1, 1,
                                   glorot(in, out));
            }
        };
        add(logits_.emplace_back(), "logits", logits_of_anchor_);
        add(boxes_, "boxes", kCode);
        if (spec.detector->class_heads == 2) {
            add(logits_.emplace_back(), "second_logits", logits_of_anchor_);
        }
    }

    ModelOutputs operator()(const std::vector<at::Tensor>& features, Pass& pass) const override {
        std::vector<at::Tensor> levels = features;
        for (const Extra& extra : extra_) {
            const at::Tensor reduced = extra.reduce(levels.back(), pass).relu_();
            levels.push_back(extra.shrink(reduced, pass).relu_());
        }
        const auto run = [&](const std::vector<Conv>& convs, std::int64_t numbers) {
            std::vector<at::Tensor> outputs;
            for (std::size_t i = 0; i < convs.size(); ++i) {
                outputs.push_back(convs[i](levels[i], pass));
            }
            return by_anchor(outputs, numbers);
        };
        std::vector<at::Tensor> of_heads;
        for (const auto& head : logits_) of_heads.push_back(run(head, logits_of_anchor_));
        return outputs_of_heads(of_heads, run(boxes_, kCode), true);
    }

    void prepare_for_scoring() override {
        for (Extra& extra : extra_) {
            extra.reduce.prepare_for_scoring();
            extra.shrink.prepare_for_scoring();
        }
        for (Conv& conv : boxes_) conv.prepare_for_scoring();
        for (auto& head : logits_) {
            for (Conv& conv : head) conv.prepare_for_scoring();
        }
    }

  private:
    struct Extra {
        Conv reduce, shrink;
    };

    void add_level(const FeatureLevel& last, std::int64_t channels, Builder& builder) {
        const std::string name = "extra." + std::to_string(extra_.size());
        const std::int64_t reduced = channels / 2;
        const bool halved = is_halved(last);
        Conv reduce(builder, name + ".0", last.channels, reduced, 1, 1, 0,
                    {kaiming_bound(last.channels, 1)});
        Conv shrink(builder, name + ".1", reduced, channels, 3, halved ? 2 : 1, halved ? 1 : 0,
                    {kaiming_bound(reduced, 3)});
        extra_.push_back({std::move(reduce), std::move(shrink)});
    }

    std::int64_t logits_of_anchor_;
    std::vector<Extra> extra_;
    std::vector<std::vector<Conv>> logits_;  ///< by class head
    std::vector<Conv> boxes_;
};

}  // namespace

std::unique_ptr<Heads> make_ssd_heads(const ModelSpec& spec, Builder& builder) {
    return std::make_unique<SsdHeads>(spec, builder);
}

}  // namespace thresher
