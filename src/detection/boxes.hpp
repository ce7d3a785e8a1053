#pragma once

// Boxes of images as plain data: the ground truth, laid out as pools have it (the boxes of one
// image after those of another, with offsets), and detections, which say the image they are of.

#include <cstdint>
#include <span>
#include <vector>

#include "src/pool/boxes.hpp"

namespace thresher {

/// Corners in pixels, x0 <= x1, y0 <= y1. The area is kept beside them because width x height as a
/// file has them and (x1 - x0) x (y1 - y0) may differ in the last bit, and a match may depend on
/// it.
struct Box {
    double x0, y0, x1, y1, area;

    static Box of_corners(double x0, double y0, double x1, double y1) {
        return {x0, y0, x1, y1, (x1 - x0) * (y1 - y0)};
    }
    static Box of_size(double x, double y, double width, double height) {
        return {x, y, x + width, y + height, width * height};
    }
};

/// The ground truth of the images that this rank has. N images, M boxes.
struct TruthBoxes {
    std::span<const std::int64_t> image_ids;  ///< [N], each on one rank alone
    std::span<const std::int64_t> offsets;    ///< [N + 1]; image i has the boxes from offsets[i] on
    std::span<const Box> boxes;               ///< [M]
    std::span<const std::int64_t> classes;    ///< [M], from 0 on
    std::span<const std::uint8_t> flags = {};  ///< [M] of kDifficult, kCrowd; empty: none
    std::span<const double> areas = {};  ///< [M], by which COCO sizes objects; empty: the boxes'
};

/// What a detector found in the same images, in any order; the order of those of one image and
/// class decides where scores tie.
struct Detections {
    std::span<const std::int64_t> images;   ///< [D], places in image_ids
    std::span<const Box> boxes;             ///< [D]
    std::span<const std::int64_t> classes;  ///< [D]
    std::span<const double> scores;         ///< [D], finite
};

/// Throws Error where lengths do not fit, an offset, image or class is out of range, or a box, area
/// or score is not finite. Local.
void check_boxes(const TruthBoxes& truth, const Detections& detections, std::int64_t classes);

}  // namespace thresher
