#include "src/models/token_reader.hpp"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cstring>

#include "src/base/check.hpp"

namespace thresher {

at::Tensor read_tokens(std::span<const std::int32_t> tokens, const Towers& towers,
                       const std::string& device) {
    const auto bad = std::find_if(tokens.begin(), tokens.end(), [&](std::int32_t token) {
        return token < 0 || token >= towers.vocabulary;
    });
    THRESHER_CHECK(bad == tokens.end(),
                   "a caption has token {}, but the model's vocabulary ends at {}; use the pool "
                   "whose vocabulary the model was trained with",
                   *bad, towers.vocabulary - 1);
    const at::Tensor result =
        at::empty({std::ssize(tokens) / towers.token_length, towers.token_length}, at::kInt);
    if (!tokens.empty()) {
        std::memcpy(result.mutable_data_ptr(), tokens.data(), tokens.size_bytes());
    }
    return result.to(c10::Device(device));
}

bool has_words(std::span<const std::int32_t> caption) {
    return std::any_of(caption.begin(), caption.end(), [](auto token) { return token != 0; });
}

}  // namespace thresher
