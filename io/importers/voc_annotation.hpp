#pragma once

// Annotations as Pascal VOC has them, one XML file an image.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace thresher::io {

struct VocObject {
    std::string name;
    bool difficult = false;
    /// Edges, in pixels: VOC's own numbers count pixels from 1, the last included, and are
    /// converted where they are read and nowhere else: the box 1 1 2 2 has the edges 0 0 2 2.
    double x0 = 0.0, y0 = 0.0, x1 = 0.0, y1 = 0.0;
    std::string problem;  ///< why it has no usable box; empty where it has one
};

struct VocAnnotation {
    std::int64_t width = 0, height = 0;  ///< of the image; 0 where it does not say
    std::vector<VocObject> objects;
};

/// Throws FileError, without the file's name, for what is no XML or no annotation.
VocAnnotation parse_voc_annotation(std::string_view xml);

}  // namespace thresher::io
