#pragma once

// The anchors of a detector: boxes of fixed shapes at every place of its feature maps, of which it
// tells what is there and how far off.

#include <cstdint>
#include <span>
#include <vector>

#include "src/models/model_spec.hpp"
#include "src/pool/boxes.hpp"

namespace thresher {

/// The anchors that `spec`, of a detector, has for its input: corners x0 y0 x1 y1 in pixels
/// [anchors, 4], level by level from the finest on, in a level by rows of its grid, then columns,
/// then shapes: the order of a detector's outputs. They may reach beyond the image. Throws Error
/// for a spec that is no detector's, or has another number of levels. Local.
std::vector<float> anchor_boxes(const ModelSpec& spec);

/// Shapes for such a detector that suit these objects: k-means over widths and heights, by 1 - the
/// intersection over union of boxes with one centre, as many as `spec` has now; small ones go to
/// fine levels. Keeps the shapes that `spec` has where there are fewer objects than shapes. The
/// result depends on the order of `boxes` in no way. Local.
std::vector<std::vector<AnchorShape>> fit_anchors(const ModelSpec& spec,
                                                  std::span<const LabelledBox> boxes);

}  // namespace thresher
