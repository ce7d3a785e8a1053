#pragma once

// Average precision of one class from its hits, by the three rules of the field. A rule needs to
// know of each hit only how many detections counted until then: precision falls between hits and
// rises nowhere else, so nothing between them can be a maximum.

#include <cstdint>
#include <span>

namespace thresher {

constexpr int kCocoRecalls = 101;

/// Element k of `counted`: hits and false alarms up to hit k, itself included, in order of score.
/// `objects` is how many could be hit, above 0. All are local.

/// Mean over 101 recalls of the largest precision at that recall or more; 0 beyond the last hit.
/// Precision is h / (counted + 2^-52), as pycocotools has it.
double coco_average_precision(std::span<const std::int64_t> counted, std::int64_t objects);

/// VOC 2007: the same over the 11 recalls 0, .1, ..., 1 (as numpy.linspace has them), without the
/// 2^-52.
double voc07_average_precision(std::span<const std::int64_t> counted, std::int64_t objects);

/// VOC 2010 and later: the area under that curve.
double voc10_average_precision(std::span<const std::int64_t> counted, std::int64_t objects);

}  // namespace thresher
