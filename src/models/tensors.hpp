#pragma once

// The tensors that models take and give; only for code that computes with LibTorch.

#include <ATen/core/Tensor.h>

#include <string>

namespace thresher {

struct ModelOutputs {
    at::Tensor logits;  ///< [n, classes]; undefined of a two-tower
    /// [n, d], the input of the last layer, or the image's of a two-tower, which has length 1;
    /// undefined where a model has none.
    at::Tensor embedding;
    /// Of a detector: [n, anchors, 4], seen from the anchor (src/detection/box_code.hpp); logits
    /// are [n, anchors, classes] of a retinanet (each by itself, sigmoid), [n, anchors, classes +
    /// 1] of an ssd (softmax, background last). Of a user's:
    /// src/models/torchscript/torchscript_detector.hpp.
    at::Tensor boxes{};
    /// Of a detector with two class heads: what each says, [2, n, anchors, ...]; logits then are
    /// those of the mean of their probabilities.
    at::Tensor head_logits{};
    /// Of a detector with a loss head: [n], what it expects of log(1 + the image's loss).
    at::Tensor log_loss{};
};

/// The logit of an image and a caption is scale (image . caption) + bias; both scalars, learned.
struct PairScale {
    at::Tensor scale, bias;
};

/// The bias that training starts from (Zhai et al., arXiv 2303.15343): most pairs do not match. The
/// sigmoid loss alone changes it.
inline constexpr double kFirstPairBias = -10.0;

struct NamedTensor {
    std::string name;  ///< dotted, as in a Python state_dict: "layer1.0.conv1.weight"
    at::Tensor tensor;
};

}  // namespace thresher
