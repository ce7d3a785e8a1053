// The shapes of anchors that suit a detector's input where nothing is known of the objects.

#include <algorithm>
#include <cmath>

#include "src/models/detector/detector_spec.hpp"

namespace thresher {
namespace {

using Shapes = std::vector<AnchorShape>;

/// The side of images that the sizes of Lin et al. are for.
constexpr double kRetinanetSide = 800.0;

/// `count` sizes from `first` to `last`, each larger than the one before by the same factor.
std::vector<double> geometric(double first, double last, std::size_t count) {
    std::vector<double> sizes;
    const double steps = static_cast<double>(std::max<std::size_t>(count, 2) - 1);
    for (std::size_t i = 0; i < count; ++i) {
        sizes.push_back(first * std::pow(last / first, static_cast<double>(i) / steps));
    }
    return sizes;
}

/// A shape of area size^2 that is `ratio` times as wide as it is high.
AnchorShape shape_of(double size, double ratio) {
    return {size * std::sqrt(ratio), size / std::sqrt(ratio)};
}

/// In the order of Liu et al.'s code: 1, the larger one, then each ratio and its inverse.
Shapes ssd_shapes(double size, double next, const std::vector<double>& ratios) {
    Shapes shapes{shape_of(size, 1.0), shape_of(std::sqrt(size * next), 1.0)};
    for (const double ratio : ratios) {
        shapes.push_back(shape_of(size, ratio));
        shapes.push_back(shape_of(size, 1.0 / ratio));
    }
    return shapes;
}

std::vector<Shapes> ssd_anchors(double side, std::size_t levels) {
    constexpr double kFirst = 0.07, kSecond = 0.15, kLast = 0.87;
    std::vector<double> sizes{kFirst * side};
    const double step = (kLast - kSecond) / static_cast<double>(levels - 2);
    for (std::size_t i = 0; i < levels; ++i) {
        sizes.push_back((kSecond + step * static_cast<double>(i)) * side);
    }
    std::vector<Shapes> anchors;
    for (std::size_t i = 0; i < levels; ++i) {
        const bool is_middle = i > 0 && i + 2 < levels;
        const std::vector<double> ratios = is_middle ? std::vector{2.0, 3.0} : std::vector{2.0};
        anchors.push_back(ssd_shapes(sizes[i], sizes[i + 1], ratios));
    }
    return anchors;
}

std::vector<Shapes> retinanet_anchors(const std::vector<double>& sizes, int scales, double step) {
    std::vector<Shapes> anchors;
    for (const double size : sizes) {
        Shapes& shapes = anchors.emplace_back();
        for (const double ratio : {2.0, 1.0, 0.5}) {
            for (int i = 0; i < scales; ++i) {
                shapes.push_back(shape_of(size * std::pow(step, i), ratio));
            }
        }
    }
    return anchors;
}

std::vector<Shapes> small_anchors(double side, std::size_t levels, bool is_ssd) {
    const double first = std::max(8.0, side / 16.0);
    const std::vector<double> sizes = geometric(first, 0.6 * side, levels);
    const double growth = sizes[1] / sizes[0];
    if (!is_ssd) return retinanet_anchors(sizes, 2, std::sqrt(growth));
    std::vector<Shapes> anchors;
    for (const double size : sizes) anchors.push_back(ssd_shapes(size, size * growth, {2.0}));
    return anchors;
}

}  // namespace

std::vector<std::vector<AnchorShape>> default_anchors(const ModelSpec& spec) {
    const std::size_t levels = detector_levels(spec).size();
    const auto height = static_cast<double>(spec.input_shape[1]);
    const auto width = static_cast<double>(spec.input_shape[2]);
    const double side = std::sqrt(height * width);
    const bool is_ssd = spec.name == "ssd";
    if (spec.detector->trunk == "small") return small_anchors(side, levels, is_ssd);
    if (!is_ssd) {
        const double scale = std::min(1.0, side / kRetinanetSide);
        return retinanet_anchors(geometric(std::max(8.0, 32.0 * scale), 512.0 * scale, levels), 3,
                                 std::cbrt(2.0));
    }
    std::vector<Shapes> anchors = ssd_anchors(side, levels);
    for (Shapes& shapes : anchors) {
        for (AnchorShape& shape : shapes) {
            shape = {std::min(shape.width, width), std::min(shape.height, height)};
        }
    }
    return anchors;
}

}  // namespace thresher
