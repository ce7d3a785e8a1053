#include "src/detection/boxes.hpp"

#include <cmath>

#include "src/base/check.hpp"

namespace thresher {

namespace {

bool is_finite(const Box& box) {
    return std::isfinite(box.x0) && std::isfinite(box.y0) && std::isfinite(box.x1) &&
           std::isfinite(box.y1) && std::isfinite(box.area);
}

void check_each(const char* what, std::span<const Box> boxes, std::span<const std::int64_t> of,
                std::int64_t classes) {
    THRESHER_CHECK(of.size() == boxes.size(), "{} {} boxes have {} classes; allowed: one each",
                   boxes.size(), what, of.size());
    for (std::size_t i = 0; i < boxes.size(); ++i) {
        const Box& box = boxes[i];
        THRESHER_CHECK(is_finite(box), "{} box {} is [{}, {}, {}, {}]; allowed: finite numbers",
                       what, i, box.x0, box.y0, box.x1, box.y1);
        THRESHER_CHECK(of[i] >= 0 && of[i] < classes, "{} box {} is of class {}; allowed: 0 to {}",
                       what, i, of[i], classes - 1);
    }
}

}  // namespace

void check_boxes(const TruthBoxes& truth, const Detections& detections, std::int64_t classes) {
    const std::size_t images = truth.image_ids.size(), boxes = truth.boxes.size();
    check_each("ground-truth", truth.boxes, truth.classes, classes);
    check_each("detected", detections.boxes, detections.classes, classes);
    THRESHER_CHECK(truth.offsets.size() == images + 1 && truth.offsets[0] == 0 &&
                       std::cmp_equal(truth.offsets[images], boxes),
                   "the offsets of {} boxes in {} images are {}, from {} to {}; allowed: one more "
                   "than images, from 0 to the number of boxes",
                   boxes, images, truth.offsets.size(),
                   truth.offsets.empty() ? -1 : truth.offsets.front(),
                   truth.offsets.empty() ? -1 : truth.offsets.back());
    for (std::size_t i = 0; i < images; ++i) {
        THRESHER_CHECK(truth.offsets[i] <= truth.offsets[i + 1],
                       "the boxes of image {} begin at {} and end at {}", truth.image_ids[i],
                       truth.offsets[i], truth.offsets[i + 1]);
    }
    THRESHER_CHECK((truth.flags.empty() || truth.flags.size() == boxes) &&
                       (truth.areas.empty() || truth.areas.size() == boxes),
                   "{} boxes have {} flags and {} areas; allowed: none, or one each", boxes,
                   truth.flags.size(), truth.areas.size());
    for (const double area : truth.areas) {
        THRESHER_CHECK(std::isfinite(area), "a ground-truth box has the area {}", area);
    }
    const std::size_t found = detections.boxes.size();
    THRESHER_CHECK(detections.images.size() == found && detections.scores.size() == found,
                   "{} detected boxes have {} images and {} scores; allowed: one each", found,
                   detections.images.size(), detections.scores.size());
    for (std::size_t i = 0; i < found; ++i) {
        const std::int64_t image = detections.images[i];
        THRESHER_CHECK(image >= 0 && std::cmp_less(image, images),
                       "detected box {} is in image {} of {}", i, image, images);
        THRESHER_CHECK(std::isfinite(detections.scores[i]),
                       "detected box {} has the score {}; allowed: finite numbers", i,
                       detections.scores[i]);
    }
}

}  // namespace thresher
