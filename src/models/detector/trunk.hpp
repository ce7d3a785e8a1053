#pragma once

// What turns images into features of several scales, below the heads of a detector.

#include <memory>
#include <vector>

#include "src/models/model_spec.hpp"
#include "src/models/networks/layers.hpp"

namespace thresher {

class Trunk {
  public:
    virtual ~Trunk() = default;
    /// Features [n, channels, height, width] by level, of the shapes of trunk_levels().
    virtual std::vector<at::Tensor> operator()(const at::Tensor& x, Pass& pass) const = 0;
    /// Folds and lays out what can be, as Network's.
    virtual void prepare_for_scoring() = 0;
};

/// The trunk that spec.detector names:
///   small: convolutions of 3x3, batch-norm and ReLU, for images of some 64 to 160 pixels on CPUs;
///     strides 4, 8, 16 and 32
///   vgg16: that of SSD300 (Liu et al. 2016), VGG-16 with fc6 (dilated) and fc7 as convolutions,
///   and
///     conv4_3 scaled to length 20; strides 8 and 16. With batch-norm, which SSD300 has not: it
///     starts from weights of ImageNet, here training starts from scratch
///   resnet18, resnet50: the last three stages; strides 8, 16 and 32
std::unique_ptr<Trunk> make_trunk(const ModelSpec& spec, Builder& builder);

}  // namespace thresher
