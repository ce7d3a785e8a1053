#pragma once

// How good a detector is on images whose objects are known. All numbers have the same bits for any
// number of ranks.

#include <cstdint>
#include <optional>

#include "src/base/collective.hpp"
#include "src/detection/average_precision.hpp"
#include "src/detection/detect.hpp"
#include "src/detection/detected_images.hpp"
#include "src/models/model.hpp"
#include "src/pool/example_source.hpp"

namespace thresher {

struct DetectorEvaluation {
    DetectionMetric metric;
    std::optional<double> mean_loss;  ///< of an image: DetectionLoss; a user's detector has none
    std::int64_t images = 0, objects = 0, detections = 0;
    DetectedImages own;  ///< what this rank's images hold; in pixels of the original images
};

/// What a detector is judged by, unless something else is asked for: the area under the curve at an
/// overlap of one half, of boxes that are edges.
DetectionMetricOptions pool_metric(DetectionRule rule = DetectionRule::voc10);

/// Rows of a block that suit detectors: pools of images are small, and all ranks are to have some.
constexpr std::int64_t kImagesInBlock = 16;

/// Streams the blocks that the ranks own. Boxes and detections are compared in pixels of the
/// original images, where the pool knows their sizes. The model is not changed. Throws Error where
/// the model is no detector, or the pool has no boxes. Collective.
DetectorEvaluation evaluate_detector(const Model& model, BlockSource& source,
                                     const DetectionMetricOptions& metric,
                                     const DetectOptions& detect, Collective& collective);

}  // namespace thresher
