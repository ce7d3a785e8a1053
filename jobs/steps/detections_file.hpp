#pragma once

// What a detector found in a pool, as COCO's results.

#include <string>
#include <vector>

#include "jobs/job.hpp"
#include "src/detection/detected_images.hpp"

namespace thresher::jobs {

/// The category id of each class: its number or, where `instances` names a file of COCO instances,
/// the id of the category of its name. Throws FileError with all classes that have none. Local.
std::vector<std::int64_t> category_ids(const std::string& instances,
                                       const std::vector<std::string>& class_names);

/// Writes what all ranks have found in the images of `own`, as stream_to_root brings it.
/// Collective.
void write_detections(Job& job, const std::string& path, const DetectedImages& own,
                      const std::vector<std::int64_t>& category_ids);

}  // namespace thresher::jobs
