#include "src/detection/mirror.hpp"

#include <algorithm>

#include "src/detection/overlap.hpp"

namespace thresher {

void mirror_disagreement(const ImageDetections& found, const ImageDetections& mirrored,
                         double width, std::span<float> disagreement) {
    std::vector<Box> others;
    for (std::size_t i = 0; i < mirrored.scores.size(); ++i) {
        const float* const box = mirrored.corners.data() + 4 * i;
        others.push_back(
            Box::of_corners(width - double{box[2]}, box[1], width - double{box[0]}, box[3]));
    }
    for (std::size_t i = 0; i < disagreement.size(); ++i) {
        const float* const corners = found.corners.data() + 4 * i;
        const Box box = Box::of_corners(corners[0], corners[1], corners[2], corners[3]);
        double best = 0.0;
        for (std::size_t other = 0; other < others.size(); ++other) {
            if (mirrored.classes[other] != found.classes[i]) continue;
            best = std::max(best, coco_overlap(box, others[other], false));
        }
        disagreement[i] = static_cast<float>(1.0 - std::min(best, 1.0));
    }
}

}  // namespace thresher
