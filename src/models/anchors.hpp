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

/// Shapes for such a detector that suit these objects: on each level k-means over widths and
/// heights, by 1 - the intersection over union of boxes with one centre, as many shapes as `spec`
/// has there now. An object belongs to the level whose shapes in `spec` are nearest in size, so
/// small ones go to fine levels, whose grids are dense enough for them. A level keeps its shapes
/// where it has fewer objects than those. Crowds do not count. The result depends on the order of
/// `boxes` in no way. Throws as anchor_boxes(). Local.
std::vector<std::vector<AnchorShape>> fit_anchors(const ModelSpec& spec,
                                                  std::span<const LabelledBox> boxes);

}  // namespace thresher
