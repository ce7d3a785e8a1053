#pragma once

#include "src/environments/environment.hpp"
#include "src/models/model.hpp"
#include "src/pool/memory_source.hpp"

namespace thresher {

/// Adds images with boxes to `points`: their features are the embedding that the scoring form of a
/// detector makes, their target is the class that most of their boxes have, the first of equal
/// ones, or that behind the last class where there is no box. Local.
void add_points(const MemoryPool& images, Model& detector, Points& points);

}  // namespace thresher
