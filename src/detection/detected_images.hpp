#pragma once

// The objects of images and what a detector found in them, gathered image by image in the layout
// that metrics want.

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "src/base/collective.hpp"
#include "src/detection/boxes.hpp"
#include "src/detection/detect.hpp"
#include "src/pool/boxes.hpp"

namespace thresher {

class DetectedImages {
  public:
    /// `boxes` ends with those that are no object. All coordinates are multiplied by the two
    /// scales; an object's own area, where it is known, is not.
    void add(std::int64_t id, std::span<const LabelledBox> boxes, const ImageDetections& found,
             double scale_x = 1.0, double scale_y = 1.0);

    TruthBoxes truth() const { return {ids_, offsets_, boxes_, classes_, flags_, areas_}; }
    Detections detections() const { return {found_images_, found_, found_classes_, scores_}; }

  private:
    std::vector<std::int64_t> ids_, offsets_{0}, classes_, found_images_, found_classes_;
    std::vector<Box> boxes_, found_;
    std::vector<std::uint8_t> flags_;
    std::vector<double> areas_, scores_;
};

struct FoundObject {
    std::int64_t image_id, class_index;
    Box box;
    double score;
};

/// Calls `take` at the root with what all ranks have found, a piece at a time: rank after rank,
/// each in its order. So where ranks own consecutive images, the order depends on no number of
/// ranks. What `take` throws, all ranks throw. Collective.
void stream_to_root(const DetectedImages& images, Collective& collective,
                    const std::function<void(std::span<const FoundObject>)>& take);

}  // namespace thresher
