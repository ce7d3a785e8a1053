#pragma once

// The best boxes of images as rows of numbers, for acquisitions that look at each box by itself.

#include <cstdint>
#include <span>

namespace thresher {

/// How many numbers there are of an image.
struct BoxShape {
    std::int64_t most = 0;       ///< M, boxes of an image; 0: none were asked for
    std::int64_t classes = 0;    ///< K, one more than the detector tells apart: last the background
    bool flips = false;          ///< whether each box was compared with the mirrored image's
    bool discrepancies = false;  ///< whether two class heads looked at each box

    std::int64_t numbers() const {
        return most * (classes + 1 + (flips ? 1 : 0) + (discrepancies ? 1 : 0));
    }
};

/// Of n consecutive images, each image's by falling score. Where it has fewer than M boxes, all
/// that belongs to the rest is NaN; so a box is there where its score is a number.
struct FoundBoxes {
    BoxShape shape{};
    std::span<const float> log_probs{};  ///< [n, M, K], natural logarithm
    std::span<const float> scores{};     ///< [n, M]
    // Or empty:
    std::span<const float> flips{};          ///< [n, M], 0 to 1, see mirror_disagreement()
    std::span<const float> discrepancies{};  ///< [n, M], 0 to 1, see store_discrepancies()
};

}  // namespace thresher
