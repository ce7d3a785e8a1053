#pragma once

// The loss of a pair of image and caption by itself, whatever else is in its batch (Evans et al.
// 2023, arXiv 2312.05328).

#include <cstdint>
#include <span>

namespace thresher {

/// losses[i] = -(image_i . caption_i) of embeddings [n, d]; NaN where the caption, tokens [n, L],
/// is empty. Local.
void alignment_losses(std::span<const float> images, std::span<const float> captions,
                      std::span<const std::int32_t> tokens, std::span<float> losses);

}  // namespace thresher
