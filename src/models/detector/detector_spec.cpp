#include "src/models/detector/detector_spec.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "src/base/check.hpp"

namespace thresher {
namespace {

constexpr std::int64_t kSmallestSide = 32;
/// From this side on the default trunk is one of the large ones.
constexpr std::int64_t kLargeSide = 256;
constexpr std::size_t kRetinanetLevels = 5;

constexpr std::array<std::string_view, 4> kTrunks{"small", "vgg16", "resnet18", "resnet50"};

void check_trunk(std::string_view trunk) {
    THRESHER_CHECK_AS(UsageError, std::find(kTrunks.begin(), kTrunks.end(), trunk) != kTrunks.end(),
                      "trunk '{}' is not known; allowed: {}", trunk, fmt::join(kTrunks, ", "));
}

const DetectorSpec& detector_of(const ModelSpec& spec) {
    THRESHER_CHECK(spec.detector.has_value(), "{} is no detector; those are ssd and retinanet",
                   spec.name);
    return *spec.detector;
}

FeatureLevel image_of(const ModelSpec& spec) {
    THRESHER_CHECK(spec.input_shape.size() == 3,
                   "{} takes images [channels, height, width], but the inputs have shape [{}]",
                   spec.name, fmt::join(spec.input_shape, ", "));
    const FeatureLevel image{spec.input_shape[0], spec.input_shape[1], spec.input_shape[2]};
    THRESHER_CHECK(image.height >= kSmallestSide && image.width >= kSmallestSide,
                   "{} needs images of at least {} x {} pixels, but they have {} x {}; import them "
                   "with a larger --size",
                   spec.name, kSmallestSide, kSmallestSide, image.height, image.width);
    return image;
}

FeatureLevel halved(const FeatureLevel& level, std::int64_t channels) {
    return {channels, (level.height + 1) / 2, (level.width + 1) / 2};
}

std::vector<FeatureLevel> vgg_levels(FeatureLevel image) {
    // Pooling rounds down, but for the third, which rounds up so that 300 pixels become 38.
    const FeatureLevel second{128, image.height / 4, image.width / 4};
    const FeatureLevel third = halved(second, 512);
    return {third, {1024, third.height / 2, third.width / 2}};
}

}  // namespace

bool is_detector(std::string_view name) { return name == "ssd" || name == "retinanet"; }

std::span<const std::string_view> trunks() { return kTrunks; }

std::vector<FeatureLevel> trunk_levels(const ModelSpec& spec) {
    const std::string& trunk = detector_of(spec).trunk;
    check_trunk(trunk);
    FeatureLevel level = image_of(spec);
    if (trunk == "vgg16") return vgg_levels(level);
    const bool is_small = trunk == "small";
    const std::int64_t widening = trunk == "resnet50" ? 4 : 1;
    for (int i = 0; i < (is_small ? 1 : 2); ++i) level = halved(level, 0);
    const std::vector<std::int64_t> channels =
        is_small ? std::vector<std::int64_t>{32, 64, 96, 128}
                 : std::vector<std::int64_t>{128 * widening, 256 * widening, 512 * widening};
    std::vector<FeatureLevel> levels;
    for (const std::int64_t count : channels) levels.push_back(level = halved(level, count));
    return levels;
}

bool is_halved(const FeatureLevel& last) {
    return std::max(last.height, last.width) > 5 || std::min(last.height, last.width) < 3;
}

std::vector<FeatureLevel> detector_levels(const ModelSpec& spec) {
    const DetectorSpec& detector = detector_of(spec);
    std::vector<FeatureLevel> levels = trunk_levels(spec);
    if (spec.name == "retinanet") {
        const std::int64_t width = retinanet_size(detector).width;
        for (FeatureLevel& level : levels) level.channels = width;
        if (detector.trunk == "small") return levels;
        while (levels.size() < kRetinanetLevels) levels.push_back(halved(levels.back(), width));
        return levels;
    }
    if (detector.trunk == "small") return levels;
    for (std::int64_t channels = 512; std::max(levels.back().height, levels.back().width) > 1;
         channels = 256) {
        const FeatureLevel& last = levels.back();
        levels.push_back(is_halved(last) ? halved(last, channels)
                                         : FeatureLevel{channels, last.height - 2, last.width - 2});
    }
    return levels;
}

RetinanetSize retinanet_size(const DetectorSpec& detector) {
    return detector.trunk == "small" ? RetinanetSize{32, 2} : RetinanetSize{256, 4};
}

void use_trunk(ModelSpec& spec, std::string_view trunk) {
    THRESHER_CHECK_AS(UsageError, is_detector(spec.name),
                      "{} has no trunk to choose; leave --trunk out, or use a detector: ssd or "
                      "retinanet",
                      spec.name);
    const FeatureLevel image = image_of(spec);
    if (trunk.empty()) {
        const bool is_large = std::min(image.height, image.width) >= kLargeSide;
        trunk = !is_large ? "small" : spec.name == "ssd" ? "vgg16" : "resnet50";
    }
    check_trunk(trunk);
    spec.detector.emplace().trunk = trunk;
    spec.detector->anchors = default_anchors(spec);
}

void check_detector(const ModelSpec& spec) {
    const auto& anchors = detector_of(spec).anchors;
    const std::size_t levels = detector_levels(spec).size();
    THRESHER_CHECK(anchors.size() == levels,
                   "{} with trunk {} has anchors for {} levels, but it has {} levels", spec.name,
                   spec.detector->trunk, anchors.size(), levels);
    THRESHER_CHECK(spec.detector->class_heads == 1 || spec.detector->class_heads == 2,
                   "{} has {} class heads; allowed: 1 and 2", spec.name,
                   spec.detector->class_heads);
    for (const auto& shapes : anchors) {
        THRESHER_CHECK(!shapes.empty(), "{} has a level without anchors; each needs one or more",
                       spec.name);
        THRESHER_CHECK(spec.name != "retinanet" || shapes.size() == anchors.front().size(),
                       "{} has {} anchors on one level and {} on another; its levels share their "
                       "heads, so all need as many",
                       spec.name, anchors.front().size(), shapes.size());
        for (const AnchorShape& shape : shapes) {
            THRESHER_CHECK(shape.width > 0.0 && shape.height > 0.0 && std::isfinite(shape.width) &&
                               std::isfinite(shape.height),
                           "{} has an anchor of {} x {} pixels; sides are finite and above 0",
                           spec.name, shape.width, shape.height);
        }
    }
}

}  // namespace thresher
