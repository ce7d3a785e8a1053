#pragma once

// Augmentation of images with boxes, by the recipe of SSD (Liu et al. 2016, section 2.2 and its
// section 3.6 on small objects). What happens to a row is keyed by (seed, epoch, row id): it
// depends on no rank and no batch.

#include <cstdint>

#include "src/pool/example_source.hpp"
#include "src/pool/pool_info.hpp"

namespace thresher {

/// Expansion makes objects at most this many times as small: SSD's own 4 would leave 3 of the 10
/// pixels that an object of a small image has.
constexpr double kLargestExpansion = 2.0;

/// Changes each image [C, H, W] of `examples`, and its boxes with it, in place:
/// - colours: each with probability 1/2, brightness (32 of 255, or half a standard deviation of
///   float32), contrast (0.5 to 1.5), and of three channels saturation (0.5 to 1.5) and hue (18
///   degrees);
/// - with probability 1/2 the image is set into a canvas of grey (the pool's mean, of float32) that
///   is up to kLargestExpansion times as large;
/// - the whole, or a crop with sides of 0.3 to 1 of it, no flatter than 1 : 2, that holds the
/// centre
///   of a box and overlaps one by 0 (any), 0.1, 0.3, 0.5, 0.7 or 0.9 (intersection over union), is
///   brought to the size of the input, bilinearly;
/// - and mirrored with probability 1/2.
/// Boxes whose centre is cut off go, the others are clipped; flags stay, areas change as the boxes'
/// do. Every row keeps PoolInfo::most_boxes of them, objects first. Throws UsageError for a pool
/// without boxes or images. Local.
void augment_boxes(Examples& examples, const PoolInfo& pool, std::uint64_t seed,
                   std::int64_t epoch);

}  // namespace thresher
