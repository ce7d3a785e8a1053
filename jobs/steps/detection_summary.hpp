#pragma once

// What a metric of detections says to a person, and to --json: the same for files of detections and
// for models.

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "jobs/job.hpp"
#include "src/detection/average_precision.hpp"

namespace thresher::jobs {

/// COCO's twelve lines, or VOC's mean, and a line for each class.
void print_detection_metric(const Job& job, const DetectionMetric& metric,
                            const DetectionMetricOptions& options,
                            const std::vector<std::string>& class_names);

nlohmann::json detection_facts(const DetectionMetric& metric, const DetectionMetricOptions& options,
                               const std::vector<std::string>& class_names);

}  // namespace thresher::jobs
