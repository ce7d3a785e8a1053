#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "src/models/model_spec.hpp"

namespace at {
class Tensor;
}

namespace thresher {

/// Captions as int32 tokens [n, L] on the device. Throws Error where a token is outside the
/// vocabulary of `towers`. Local.
at::Tensor read_tokens(std::span<const std::int32_t> tokens, const Towers& towers,
                       const std::string& device);

/// Whether a caption has a token that is no padding. Local.
bool has_words(std::span<const std::int32_t> caption);

}  // namespace thresher
