#pragma once

// The user's own model, as a TorchScript module whose forward takes the inputs and returns logits
// [n, classes], or a dict with "logits" and "embedding"; or a detector (torchscript_detector.hpp).

#include <memory>
#include <string>

#include "src/models/model.hpp"

namespace torch::jit {
struct Module;
}

namespace thresher {

struct DetectorLabels;  // src/models/torchscript/torchscript_detector.hpp

inline constexpr const char* kTorchScript = "torchscript";

/// Runs the module once, on two rows of zeros, to learn its classes. `path` names it in errors.
/// Throws Error where it cannot take inputs of spec.input_shape or returns something else.
std::unique_ptr<Model> wrap_torchscript(torch::jit::Module module, ModelSpec spec,
                                        const std::string& device, const std::string& path);

/// The same of a module that takes_images(), for spec.detector and the classes of `labels`.
std::unique_ptr<Model> wrap_detector(torch::jit::Module module, ModelSpec spec,
                                     DetectorLabels labels, const std::string& device,
                                     const std::string& path);

}  // namespace thresher
