#pragma once

// COCO's files as the metric of detections takes them: a rank's share of the images, classes by
// their place among the categories.

#include <cstdint>
#include <string>
#include <vector>

#include "io/detections/coco_json.hpp"
#include "io/problem_list.hpp"
#include "src/detection/boxes.hpp"

namespace thresher::io {

/// What sets an object aside: "iscrowd" alone, as in COCO's own evaluation, or "ignore" and
/// "difficult" as well.
enum class SetAside { crowds, crowds_and_ignored };

class CocoBoxes {
  public:
    /// The images of rank `rank` of `ranks`: consecutive ones in order of their ids. Category ids
    /// in their order are classes 0, 1, ... `instances` has no problems. Local.
    CocoBoxes(const CocoInstances& instances, SetAside set_aside, int rank, int ranks);

    /// Adds what results hold of these images. `problems` gets what read_coco_results finds, and
    /// detections of images or categories that the instances do not have. Throws FileError. Local.
    void read_detections(const std::string& path, ProblemList& problems);

    TruthBoxes truth() const;
    Detections detections() const;
    const std::vector<std::string>& class_names() const { return class_names_; }
    std::int64_t images() const { return std::ssize(all_image_ids_); }  ///< of all ranks
    std::int64_t objects() const { return objects_; }                   ///< of all ranks
    std::int64_t detections_read() const { return detections_read_; }   ///< of all ranks

  private:
    std::vector<std::int64_t> all_image_ids_, category_ids_;  ///< in order
    std::int64_t first_image_ = 0, last_image_ = 0;           ///< of this rank
    std::int64_t objects_ = 0, detections_read_ = 0;
    std::vector<std::string> class_names_;
    std::vector<std::int64_t> offsets_, truth_classes_;
    std::vector<Box> truth_boxes_;
    std::vector<std::uint8_t> flags_;
    std::vector<double> areas_;
    std::vector<std::int64_t> images_, classes_;
    std::vector<Box> boxes_;
    std::vector<double> scores_;
};

}  // namespace thresher::io
