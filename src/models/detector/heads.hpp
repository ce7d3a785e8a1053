#pragma once

// What says of each anchor what is there and how far off, from a trunk's features. They need the
// trunk no more once its features are known, so heads can be trained on features that are kept.

#include <memory>
#include <vector>

#include "src/models/model_spec.hpp"
#include "src/models/networks/layers.hpp"

namespace thresher {

class Heads {
  public:
    virtual ~Heads() = default;
    /// Logits and boxes (src/models/tensors.hpp) from features of the shapes of trunk_levels().
    virtual ModelOutputs operator()(const std::vector<at::Tensor>& features, Pass& pass) const = 0;
    /// Folds and lays out what can be, as Network's.
    virtual void prepare_for_scoring() = 0;
};

/// Those of spec.name, for its trunk:
///   ssd (Liu et al. 2016): coarser levels, as many as there are until one place is left (none
///     behind the small trunk), and on each level two 3x3 convolutions
///   retinanet (Lin et al. 2017): a feature pyramid of five levels (four of the small trunk), and
///   two
///     towers of 3x3 convolutions that all levels share
std::unique_ptr<Heads> make_heads(const ModelSpec& spec, Builder& builder);
std::unique_ptr<Heads> make_ssd_heads(const ModelSpec& spec, Builder& builder);
std::unique_ptr<Heads> make_retinanet_heads(const ModelSpec& spec, Builder& builder);

/// The outputs of heads that say `of_heads`, each [n, anchors, columns], and `boxes`. With two, the
/// logits of the mean of their probabilities: over all columns (softmax), or of each by itself.
ModelOutputs outputs_of_heads(const std::vector<at::Tensor>& of_heads, at::Tensor boxes,
                              bool softmax);

/// [n, anchors, numbers] of all levels, from what a convolution gives by level, [n, shapes x
/// numbers, height, width]: the order of src/models/anchors.hpp.
at::Tensor by_anchor(const std::vector<at::Tensor>& levels, std::int64_t numbers);

/// Half the width of Kaiming's uniform distribution for the weights of a convolution that a ReLU
/// follows.
double kaiming_bound(std::int64_t in, std::int64_t kernel);

}  // namespace thresher
