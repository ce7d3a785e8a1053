#pragma once

// COCO's two files of boxes: instances (ground truth: images, categories, annotations) and results
// (detections). Both are read in a stream, so memory holds what is kept and never the text;
// segmentations are passed over unread. A position in messages counts from 0.

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/atomic_file.hpp"
#include "io/problem_list.hpp"

namespace thresher::io {

/// Left upper corner and size, in pixels, as the file has them.
struct CocoBox {
    double x, y, width, height;
};

struct CocoImage {
    std::int64_t id;
    std::string file_name;               ///< "" where the file has none
    std::int64_t width = 0, height = 0;  ///< 0 where the file has none
};

struct CocoCategory {
    std::int64_t id;
    std::string name;
};

struct CocoAnnotation {
    std::int64_t id, image_id, category_id;
    CocoBox box;
    double area;          ///< "area"; width x height where the file has none
    bool crowd = false;   ///< "iscrowd"
    bool ignore = false;  ///< "ignore" or "difficult", which COCO's own files lack
};

/// Everything in the order of the file.
struct CocoInstances {
    std::vector<CocoImage> images;
    std::vector<CocoCategory> categories;
    std::vector<CocoAnnotation> annotations;
};

struct CocoDetection {
    std::int64_t image_id, category_id;
    CocoBox box;
    double score;
};

/// Reads instances. `problems` gets what is missing or of the wrong type, and what
/// list_instance_problems() finds; records that lack something are left out. Boxes are kept as they
/// are: see box_problem(). Throws FileError, with the position in bytes, where the file cannot be
/// read or is no JSON. Local.
CocoInstances read_coco_instances(const std::string& path, ProblemList& problems);

/// The same from memory; `name` stands for the file in messages.
CocoInstances parse_coco_instances(std::string_view text, const std::string& name,
                                   ProblemList& problems);

/// Ids that are there twice, and annotations of images or categories that are not there.
void list_instance_problems(const CocoInstances& instances, ProblemList& problems);

/// Why a box cannot be used (not finite, or of negative size; one without area can), or "".
std::string box_problem(const CocoBox& box);

/// Every box of `instances` with a box_problem(), by the id of its annotation.
void list_box_problems(const CocoInstances& instances, ProblemList& problems);

/// Called with each detection and its position in the file.
using DetectionSink = std::function<void(std::int64_t position, const CocoDetection& detection)>;

/// Reads results, one detection at a time. `problems` gets those that lack something or whose box
/// has a box_problem(); they do not reach the sink. Throws FileError as read_coco_instances. Local.
void read_coco_results(const std::string& path, ProblemList& problems, const DetectionSink& sink);
void parse_coco_results(std::string_view text, const std::string& name, ProblemList& problems,
                        const DetectionSink& sink);

/// Writes results, all at once: see CocoResultsWriter. Local.
void write_coco_results(const std::string& path, std::span<const CocoDetection> detections,
                        Overwrite overwrite);

}  // namespace thresher::io
