#pragma once

#include <cstdint>
#include <span>

#include "src/environments/environment.hpp"
#include "src/models/model.hpp"
#include "src/pool/memory_source.hpp"

namespace thresher {

/// What an image is of, where it can be of one class alone: that of most of its boxes, the first of
/// equal ones; `classes` where it has no box. `of_boxes` are the classes of the boxes. Local.
std::int64_t main_class(std::span<const std::int64_t> of_boxes, std::int64_t classes);

/// Adds images with boxes to `points`: their features are the embedding that the scoring form of a
/// detector makes, their target is main_class(). Local.
void add_points(const MemoryPool& images, Model& detector, Points& points);

}  // namespace thresher
