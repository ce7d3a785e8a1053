#pragma once

// From what a detector says of its anchors to the numbers of the best boxes of an image.

#include <array>
#include <cstdint>
#include <span>

#include "src/detection/detect.hpp"

namespace thresher {

/// Where the numbers of one image go: as FoundBoxes.
struct BoxOutputs {
    std::span<float> log_probs;        ///< [M, K]
    std::span<float> scores;           ///< [M]
    std::span<float> discrepancies{};  ///< [M], of two class heads; or empty
};

/// Fills `to` with the first M of `found`, and NaN beyond them. `logits` [anchors, columns] are
/// those that the boxes were found by.
///
/// Of an ssd (columns = K, the background last) a box has the softmax of its anchor's logits. Of a
/// retinanet (columns = K - 1), whose classes have a probability s_c = sigmoid(x_c) each, it has
/// that of each class alone and of none, given that no two are there: p_c in proportion to
/// s_c prod_(j != c) (1 - s_j), so p_c = e^(x_c) / (1 + sum_j e^(x_j)), which is the softmax of the
/// logits with a background of logit 0; with one class, p = s. Local.
void store_boxes(const ImageDetections& found, std::span<const float> logits, std::int64_t columns,
                 const BoxOutputs& to);

/// How far two class heads disagree on each of the first boxes of `found`: 1/2 sum_c |p_c - q_c|, 0
/// to 1, over their distributions, made as those above of `heads` [anchors, columns]; NaN beyond.
/// Where MI-AOD (Yuan et al. 2021, arXiv 2104.02324) sums |p_c - q_c| over all anchors of an image,
/// here are the anchors of its boxes. Local.
void store_discrepancies(const ImageDetections& found,
                         const std::array<std::span<const float>, 2>& heads, std::int64_t columns,
                         std::int64_t classes, std::span<float> to);

/// What stands for an image of whose boxes the model makes no number: one of score 0 without a
/// distribution, so that nothing takes it for an image without boxes. Local.
void store_no_number(const BoxOutputs& to);

}  // namespace thresher
