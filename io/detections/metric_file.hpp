#pragma once

// What a metric of detections came to, as a file: the numbers of each class, and the curves of
// precision over recall, for reports and for people with h5py.

#include <string>
#include <vector>

#include "io/atomic_file.hpp"
#include "io/provenance.hpp"
#include "src/detection/average_precision.hpp"

namespace thresher::io {

/// `metric_name` is "coco", "voc07" or "voc10". Throws FileError. Local: the root's business.
void write_detection_metric(const std::string& path, const DetectionMetric& metric,
                            const std::vector<std::string>& class_names,
                            const std::string& metric_name, const Provenance& provenance,
                            Overwrite overwrite);

}  // namespace thresher::io
