#pragma once

// Which detections fit an object of the ground truth. Objects of an image are matched with that
// image's detections alone, so this part of a metric needs no other rank.

#include <array>
#include <cstdint>
#include <vector>

#include "src/detection/boxes.hpp"

namespace thresher {

/// What becomes of one detection under each of up to 16 overlap thresholds (a bit each) and 4
/// ranges of object size.
struct MatchedDetection {
    double score;
    std::int64_t image_id;
    std::int32_t class_index;
    std::int32_t position;             ///< among the detections of its image and class, by score
    std::array<std::uint16_t, 4> hit;  ///< finds an object
    std::array<std::uint16_t, 4> ignored;  ///< counts neither as hit nor as false alarm

    /// The order in which detections count: by score; where scores tie by image id, then by
    /// position. This is the order of pycocotools, which sorts stably what it collected by image.
    bool before(const MatchedDetection& other) const {
        if (score != other.score) return score > other.score;
        if (image_id != other.image_id) return image_id < other.image_id;
        return position < other.position;
    }
};

struct Matches {
    std::vector<MatchedDetection> detections;  ///< by image, class and position
    std::vector<std::int64_t> objects;         ///< [classes, 4]: those that count, by size range
};

constexpr int kCocoThresholds = 10;
constexpr int kMostDetections = 100;  ///< of an image and class that COCO looks at

/// COCO's overlap thresholds, .5 to .95, as numpy.linspace has them.
std::array<double, kCocoThresholds> coco_thresholds();

/// COCO's rule, of pycocotools' evaluateImg: the detections of an image and class choose in order
/// of their score (stable) the free object that they overlap most, where that reaches the
/// threshold; crowds and objects outside the size range are second choice, and what takes one is
/// ignored, as is a detection outside the size range that takes none. A difficult object is ignored
/// the same way. Size ranges: all, below 32^2, to 96^2, above. Local.
Matches match_coco(const TruthBoxes& truth, const Detections& detections, std::int64_t classes);

/// The rule of the VOC development kit: a detection belongs to the object it overlaps most (the
/// first of several); it hits where that reaches `threshold` and no detection of larger score hit
/// the same, is ignored where the object is difficult (or a crowd), and a false alarm otherwise.
/// Bit 0 of size range 0. `pixel`: see voc_overlap. Local.
Matches match_voc(const TruthBoxes& truth, const Detections& detections, std::int64_t classes,
                  double threshold, double pixel);

}  // namespace thresher
