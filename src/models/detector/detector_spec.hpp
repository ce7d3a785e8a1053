#pragma once

// What a detector is before its network is built: its trunk, the grids that its anchors lie on, and
// the shapes of anchors that suit its input.

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "src/models/model_spec.hpp"

namespace thresher {

/// Whether this built-in model is a detector.
bool is_detector(std::string_view name);

/// The names of all trunks.
std::span<const std::string_view> trunks();

/// The features of one scale.
struct FeatureLevel {
    std::int64_t channels, height, width;

    bool operator==(const FeatureLevel&) const = default;
};

/// What the trunk gives, the finest first. Throws UsageError for an unknown trunk, Error where the
/// input is no image with sides of 32 pixels and more. Local.
std::vector<FeatureLevel> trunk_levels(const ModelSpec& spec);

/// What the heads see: the trunk's levels and the coarser ones that they add. Their grids are those
/// of the anchors. Local.
std::vector<FeatureLevel> detector_levels(const ModelSpec& spec);

/// Of the level that an ssd adds behind `last`: whether it has half the grid, as the first two of
/// SSD300; otherwise the 3x3 convolution has no padding, which takes 2 off each side.
bool is_halved(const FeatureLevel& last);

/// Channels of a retinanet's pyramid and heads, and 3x3 convolutions in each of its two towers.
struct RetinanetSize {
    std::int64_t width, depth;
};
RetinanetSize retinanet_size(const DetectorSpec& detector);

/// Turns `spec`, of a detector, into one with this trunk ("": the default for the size of its
/// input, vgg16 or resnet50 from 256 pixels on, small below) and with the anchors that suit it.
/// Throws UsageError for an unknown trunk (lists the known ones) or a model that is no detector.
/// Local.
void use_trunk(ModelSpec& spec, std::string_view trunk);

/// By level, the shapes of anchors for this kind, trunk and input. In pixels, s being the square
/// root of the image's area:
///   ssd: 0.07 s on the first level, 0.15 s to 0.87 s on the others, as SSD300 has them for COCO;
///   by
///     1, by 1 in the next size's direction, 2 and 1/2, on middle levels also 3 and 1/3; none is
///     wider or higher than the image
///   retinanet: 32 to 512, times s / 800 below 800 pixels, but from 8 on; each in three scales by
///     the ratios 2, 1 and 1/2
///   the small trunk: s / 16, at least 8, to 0.6 s; shapes as on the first level of an ssd, or in
///     two scales by the three ratios of a retinanet
/// Local.
std::vector<std::vector<AnchorShape>> default_anchors(const ModelSpec& spec);

/// Throws Error unless `spec` has a detector with one class head or two, and with anchors for each
/// of its levels, all finite and above 0, and, of a retinanet, as many on each. Local.
void check_detector(const ModelSpec& spec);

}  // namespace thresher
