#pragma once

// The user's own detector, as torchvision's are scripted: forward takes a list of images
// [channels, height, width], scaled by the pool's scale (bytes to 0 to 1) but not normalised, and
// returns for each a dict with "boxes" [M, 4] (x0 y0 x1 y1, in pixels of the input), "scores" [M]
// (probabilities) and "labels" [M], in a list, or in a pair whose second part is that list.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "src/pool/pool_info.hpp"

namespace torch::jit {
struct Module;
}
namespace c10 {
struct IValue;
}

namespace thresher {

struct ModelOutputs;  // src/models/tensors.hpp

/// What the file may hold beside the module: the names of its labels from 0 on, as JSON.
inline constexpr const char* kCategoriesFile = "categories.json";

/// A finite logarithm of 0: its exponential is 0.
inline constexpr float kNothing = -1e4F;

/// Whether forward takes a list of tensors.
bool takes_images(const torch::jit::Module& module);

/// What the labels of a detector stand for.
struct DetectorLabels {
    static constexpr std::int64_t kNone = -1;     ///< a class that the pool does not have
    static constexpr std::int64_t kUnknown = -2;  ///< a label that stands for nothing

    std::int64_t classes = 0;
    std::vector<std::int64_t> class_of;  ///< by label

    /// By the names in `categories_json`, where the pool has names, the pool's classes, else the
    /// names in their order, but for "__background__" and "N/A". Without categories label 1 is the
    /// pool's first class. `path` names the model in errors. Throws Error where no label is a class
    /// of the pool. Local.
    static DetectorLabels of(const std::string& categories_json, const PoolInfo& pool,
                             const std::string& path);
};

/// The list of images of inputs [n, ...].
c10::IValue as_images(const at::Tensor& inputs);

/// What forward returned for n images as a detector's outputs, whose boxes [n, M, 4] are corners
/// and whose logits [n, M, classes + 1] are logarithms: of the score at the label's class, of what
/// is left of 1 at the background, and elsewhere, as in places beyond an image's boxes, kNothing.
/// Boxes of classes that the pool does not have are left out. Throws Error where it returned
/// something else. Local.
ModelOutputs read_detections(const c10::IValue& returned, std::int64_t images,
                             const DetectorLabels& labels, const std::string& path);

/// Lets files that torchvision scripted be loaded: its operator nms is ours, unless there is one
/// already. The other operators of torchvision are not there. Local.
void define_torchvision_nms();

}  // namespace thresher
