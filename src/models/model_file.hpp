#pragma once

// Model files: TorchScript archives with the ModelSpec as extra file "thresher.json" and, where
// captions are read, the vocabulary as "sentencepiece.model". Python opens one with
// torch.jit.load(path).state_dict().

#include <memory>
#include <string>
#include <vector>

#include "src/models/model.hpp"
#include "src/models/tensors.hpp"

namespace thresher {

inline constexpr const char* kSpecFile = "thresher.json";
inline constexpr const char* kTextModelFile = "sentencepiece.model";  ///< Towers::text_model

/// The tensors of a built-in model as the bytes of one archive.
std::string archive_of(const ModelSpec& spec, const std::vector<NamedTensor>& parameters,
                       const std::vector<NamedTensor>& buffers);

/// A built-in model whose tensors the caller fills.
std::unique_ptr<Model> make_model_without_values(const ModelSpec& spec, const std::string& device);

/// What LibTorch said, without its stack of calls.
std::string first_line(const std::exception& error);

}  // namespace thresher
