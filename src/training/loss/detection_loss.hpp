#pragma once

// What a detector's outputs for one image cost, given its objects. An image's loss is its own, so
// that images can be weighed, chosen by their loss, and dealt out to any rank.

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "src/models/model_spec.hpp"
#include "src/pool/boxes.hpp"

namespace at {
class Tensor;
}

namespace thresher {

struct ModelOutputs;  // src/models/tensors.hpp

/// ssd (Liu et al. 2016): cross-entropy over classes and background of the anchors that are for an
/// object and of three times as many (at least one) of the hardest others, plus the smooth L1
/// distance (beta 1) of codes; retinanet (Lin et al. 2017): focal loss (alpha 0.25, gamma 2) of all
/// anchors that are not kNeither, plus the L1 distance of codes. Sums over anchors, divided by how
/// many are for an object (at least 1). Of two class heads, the mean of what each costs.
class DetectionLoss {
  public:
    /// Throws Error where `spec` is no detector's. Local.
    explicit DetectionLoss(const ModelSpec& spec);
    /// With these anchors [A, 4] in place of the spec's.
    DetectionLoss(const ModelSpec& spec, std::vector<float> anchors);
    ~DetectionLoss();
    DetectionLoss(const DetectionLoss&) = delete;
    DetectionLoss& operator=(const DetectionLoss&) = delete;

    /// The losses [n] of images with these boxes [n, most]; differentiable. `hits`, if not null, is
    /// what share of each image's anchors that are for an object give its class the largest
    /// probability, 1 where none is, summed over images. Local.
    at::Tensor operator()(const ModelOutputs& outputs, std::span<const LabelledBox> boxes,
                          double* hits = nullptr) const;

  private:
    struct Body;
    std::unique_ptr<Body> body_;
};

}  // namespace thresher
