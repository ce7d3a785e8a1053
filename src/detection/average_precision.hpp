#pragma once

// Average precision of detections over all ranks: COCO's twelve numbers, and the means of VOC 2007
// and VOC 2010. Each rank matches the images that it has; the matched detections of a class then
// meet on one rank, in one order (MatchedDetection::before), so every number has the same bits for
// any number of ranks and any distribution of images.

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "src/base/collective.hpp"
#include "src/detection/boxes.hpp"

namespace thresher {

enum class DetectionRule { coco, voc07, voc10 };

/// What a number is where no class has an object that counts, as in pycocotools.
constexpr double kNoObjects = -1.0;

/// "coco", "voc07" or "voc10". Throws UsageError.
DetectionRule detection_rule(std::string_view name);
std::string_view detection_rule_name(DetectionRule rule);

struct DetectionMetricOptions {
    DetectionRule rule = DetectionRule::coco;
    double voc_threshold = 0.5;  ///< overlap that counts as found
    double voc_pixel = 1.0;      ///< see voc_overlap; 0 for the boxes of pools, which are edges
    bool curves = false;         ///< whether to keep precision_recall
};

/// One point of a curve of precision over recall: the hits of this score and above.
struct PrecisionPoint {
    std::int64_t class_index;
    double recall, precision, score;
};

/// What one class has come to; kNoObjects in all means where it has no object that counts.
struct ClassPrecision {
    std::int64_t objects = 0;               ///< that count
    std::int64_t detections = 0;            ///< of COCO at most 100 an image
    double average_precision = kNoObjects;  ///< COCO: mean over overlaps
    double at_50 = kNoObjects;              ///< VOC: at its one overlap
    double at_75 = kNoObjects;              ///< COCO alone
    double recall = kNoObjects;             ///< of all detections; COCO: mean over overlaps
};

/// The names of COCO's numbers in their order.
constexpr std::array<std::string_view, 12> kCocoNumbers{
    "AP",  "AP50", "AP75",  "APsmall", "APmedium", "APlarge",
    "AR1", "AR10", "AR100", "ARsmall", "ARmedium", "ARlarge"};

struct DetectionMetric {
    double mean_average_precision = kNoObjects;  ///< over classes that have objects; AP of COCO
    std::array<double, 12> coco{};               ///< kCocoNumbers; COCO alone
    std::vector<ClassPrecision> classes;
    /// By class and falling score, at the lowest overlap, a point each hit; where asked for.
    std::vector<PrecisionPoint> curves;
};

/// Collective: `classes` and `options` are the same on all ranks, and so is what is returned.
/// Throws Error (see check_boxes and match_voc) on all ranks.
DetectionMetric measure_detections(const TruthBoxes& truth, const Detections& detections,
                                   std::int64_t classes, const DetectionMetricOptions& options,
                                   Collective& collective);

}  // namespace thresher
