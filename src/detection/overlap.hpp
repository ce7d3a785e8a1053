#pragma once

// How much two boxes overlap, by COCO's rule and by that of the VOC development kit.

#include <algorithm>

#include "src/detection/boxes.hpp"

namespace thresher {

/// Intersection over union; over the area of the detection alone where the truth is a crowd, which
/// may hold many. In the order of pycocotools' operations, so the same bits.
inline double coco_overlap(const Box& detection, const Box& truth, bool is_crowd) {
    const double width = std::min(detection.x1, truth.x1) - std::max(detection.x0, truth.x0);
    if (width <= 0.0) return 0.0;
    const double height = std::min(detection.y1, truth.y1) - std::max(detection.y0, truth.y0);
    if (height <= 0.0) return 0.0;
    const double both = width * height;
    return both / (is_crowd ? detection.area : detection.area + truth.area - both);
}

/// Intersection over union of boxes whose corners are pixels that belong to them: a side is `pixel`
/// longer than its corners lie apart. 1 in the VOC kit, 0 for corners that are edges. The one place
/// that knows of this convention.
inline double voc_overlap(const Box& a, const Box& b, double pixel) {
    const double width = std::min(a.x1, b.x1) - std::max(a.x0, b.x0) + pixel;
    const double height = std::min(a.y1, b.y1) - std::max(a.y0, b.y0) + pixel;
    if (width <= 0.0 || height <= 0.0) return 0.0;
    const auto area = [&](const Box& box) {
        return (box.x1 - box.x0 + pixel) * (box.y1 - box.y0 + pixel);
    };
    const double both = width * height;
    return both / (area(a) + area(b) - both);
}

}  // namespace thresher
