#pragma once

// The user's own detector, as torchvision's are scripted: forward takes a list of images
// [channels, height, width], scaled by the pool's scale (bytes to 0 to 1) but not normalised, and
// returns for each a dict with "boxes" [M, 4] (x0 y0 x1 y1, in pixels of the input), "scores" [M]
// (probabilities) and "labels" [M], in a list, or in a pair whose second part is that list. Label 1
// is the pool's first class, for 0 is the background.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

namespace torch::jit {
struct Module;
}
namespace c10 {
struct IValue;
}

namespace thresher {

struct ModelOutputs;  // src/models/tensors.hpp

/// Whether forward takes a list of tensors.
bool takes_images(const torch::jit::Module& module);

/// The list of images of inputs [n, ...].
c10::IValue as_images(const at::Tensor& inputs);

/// What forward returned for n images as a detector's outputs, whose boxes [n, M, 4] are corners
/// and whose logits [n, M, classes + 1] are logarithms: of the score at the label, of what is left
/// of 1 at the background, and elsewhere, as in places beyond an image's boxes, kNothing. `path`
/// names the model in errors. Throws Error where it returned something else.
ModelOutputs read_detections(const c10::IValue& returned, std::int64_t images, std::int64_t classes,
                             const std::string& path);

/// A finite logarithm of 0: its exponential is 0.
inline constexpr float kNothing = -1e4F;

/// Lets files that torchvision scripted be loaded: its operator nms is ours, unless there is one
/// already. The other operators of torchvision are not there. Local.
void define_torchvision_nms();

}  // namespace thresher
