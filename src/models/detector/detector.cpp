// A detector: a trunk and the heads on its features.

#include <ATen/core/Tensor.h>

#include <optional>

#include "src/base/check.hpp"
#include "src/models/detector/detector_spec.hpp"
#include "src/models/detector/heads.hpp"
#include "src/models/detector/loss_head.hpp"
#include "src/models/detector/trunk.hpp"
#include "src/models/networks/network.hpp"

namespace thresher {
namespace {

class Detector final : public Network {
  public:
    Detector(const ModelSpec& spec, Builder& builder)
        : embedding_size_(trunk_levels(spec).back().channels) {
        builder.scope = "trunk.";
        trunk_ = make_trunk(spec, builder);
        builder.scope = "heads.";
        heads_ = make_heads(spec, builder);
        builder.scope = "loss.";
        if (spec.detector->loss_head) loss_head_.emplace(spec, builder);
        builder.scope = "";
    }

    /// Nothing is dropped, so there is nothing that samples could share.
    at::Tensor prefix(const at::Tensor& x, Pass&) const override { return x; }

    ModelOutputs rest(const at::Tensor& x, Pass& pass) const override {
        const std::vector<at::Tensor> features = (*trunk_)(x, pass);
        ModelOutputs outputs = (*heads_)(features, pass);
        outputs.embedding = features.back().mean({2, 3});
        if (loss_head_) outputs.log_loss = (*loss_head_)(features, pass);
        return outputs;
    }

    std::int64_t embedding_size() const override { return embedding_size_; }

    void prepare_for_scoring() override {
        trunk_->prepare_for_scoring();
        heads_->prepare_for_scoring();
    }

  private:
    std::int64_t embedding_size_;
    std::unique_ptr<Trunk> trunk_;
    std::unique_ptr<Heads> heads_;
    std::optional<LossHead> loss_head_;
};

}  // namespace

std::unique_ptr<Network> make_detector(const ModelSpec& spec, Builder& builder) {
    check_detector(spec);
    THRESHER_CHECK_AS(UsageError, spec.dropout == 0.0,
                      "{} drops nothing, but a dropout of {} was asked for; leave --dropout out",
                      spec.name, spec.dropout);
    return std::make_unique<Detector>(spec, builder);
}

}  // namespace thresher
