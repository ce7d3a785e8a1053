#pragma once

#include <map>
#include <string>

#include "src/models/model.hpp"
#include "src/models/tensors.hpp"

namespace thresher {

/// All parameters and buffers of a model, bit for bit.
inline std::map<std::string, std::string> bytes_of(const Model& model) {
    std::map<std::string, std::string> bytes;
    for (const auto& tensors : {model.parameters(), model.buffers()}) {
        for (const NamedTensor& entry : tensors) {
            const at::Tensor plain = entry.tensor.detach().contiguous();
            bytes[entry.name].assign(static_cast<const char*>(plain.const_data_ptr()),
                                     plain.nbytes());
        }
    }
    return bytes;
}

inline std::int64_t parameter_count(const Model& model) {
    std::int64_t count = 0;
    for (const NamedTensor& entry : model.parameters()) count += entry.tensor.numel();
    return count;
}

}  // namespace thresher
