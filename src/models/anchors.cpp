// Centres lie at (i + 0.5) * size / grid, as in the paper on SSD; torchvision's are multiples of a
// stride that is given beside the grid, which shifts those of grids that do not divide the image.

#include "src/models/anchors.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>

#include "src/models/detector/detector_spec.hpp"
#include "src/random/philox.hpp"

namespace thresher {
namespace {

using Shapes = std::vector<AnchorShape>;

constexpr std::uint32_t kStarts = 8;
constexpr int kMostSteps = 100;

/// 1 - intersection over union of boxes with one centre.
double distance(const AnchorShape& a, const AnchorShape& b) {
    const double both = std::min(a.width, b.width) * std::min(a.height, b.height);
    return 1.0 - both / (a.width * a.height + b.width * b.height - both);
}

bool smaller(const AnchorShape& a, const AnchorShape& b) {
    const double area_a = a.width * a.height, area_b = b.width * b.height;
    return std::tie(area_a, a.width, a.height) < std::tie(area_b, b.width, b.height);
}

struct Nearest {
    std::size_t index;
    double distance;
};

Nearest nearest(const AnchorShape& shape, const Shapes& centres) {
    Nearest best{0, std::numeric_limits<double>::infinity()};
    for (std::size_t i = 0; i < centres.size(); ++i) {
        const double far = distance(shape, centres[i]);
        if (far < best.distance) best = {i, far};
    }
    return best;
}

/// k-means++ (Arthur and Vassilvitskii 2007): each centre is drawn by its squared distance from the
/// ones before.
Shapes first_centres(const Shapes& objects, std::size_t count, const KeyedRandom& random) {
    Shapes centres;
    while (centres.size() < count) {
        std::vector<double> weights;
        double total = 0.0;
        for (const AnchorShape& object : objects) {
            const double far = centres.empty() ? 1.0 : nearest(object, centres).distance;
            weights.push_back(total += far * far);
        }
        const double at = total * random.uniform(std::ssize(centres));
        const auto drawn = std::upper_bound(weights.begin(), weights.end() - 1, at);
        centres.push_back(objects[static_cast<std::size_t>(drawn - weights.begin())]);
    }
    return centres;
}

struct Clusters {
    Shapes centres;
    double cost;
};

Clusters cluster(const Shapes& objects, Shapes centres) {
    std::vector<std::size_t> homes(objects.size(), centres.size());
    for (int step = 0;; ++step) {
        Shapes sums(centres.size(), AnchorShape{0.0, 0.0});
        std::vector<double> counts(centres.size(), 0.0);
        double cost = 0.0;
        bool moved = false;
        for (std::size_t i = 0; i < objects.size(); ++i) {
            const auto [home, far] = nearest(objects[i], centres);
            moved = moved || home != homes[i];
            homes[i] = home;
            cost += far;
            sums[home].width += objects[i].width;
            sums[home].height += objects[i].height;
            counts[home] += 1.0;
        }
        if (!moved || step == kMostSteps) return {std::move(centres), cost};
        for (std::size_t i = 0; i < centres.size(); ++i) {
            // A centre that no object is nearest to stays.
            if (counts[i] == 0.0) continue;
            centres[i] = {sums[i].width / counts[i], sums[i].height / counts[i]};
        }
    }
}

/// `objects` in one order whatever theirs was.
Shapes fit(const Shapes& objects, std::size_t count) {
    Clusters best{{}, std::numeric_limits<double>::infinity()};
    for (std::uint32_t start = 0; start < kStarts; ++start) {
        const KeyedRandom random(0, Stream::k_means, start);
        Clusters clusters = cluster(objects, first_centres(objects, count, random));
        if (clusters.cost < best.cost) best = std::move(clusters);
    }
    std::sort(best.centres.begin(), best.centres.end(), smaller);
    return best.centres;
}

/// The mean over shapes of the logarithm of their size.
double mean_log_size(const Shapes& shapes) {
    double sum = 0.0;
    for (const AnchorShape& shape : shapes) sum += 0.5 * std::log(shape.width * shape.height);
    return sum / static_cast<double>(shapes.size());
}

}  // namespace

std::vector<float> anchor_boxes(const ModelSpec& spec) {
    check_detector(spec);
    const std::vector<FeatureLevel> levels = detector_levels(spec);
    const auto image_height = static_cast<double>(spec.input_shape[1]);
    const auto image_width = static_cast<double>(spec.input_shape[2]);
    std::vector<float> corners;
    for (std::size_t i = 0; i < levels.size(); ++i) {
        const double step_y = image_height / static_cast<double>(levels[i].height);
        const double step_x = image_width / static_cast<double>(levels[i].width);
        for (std::int64_t row = 0; row < levels[i].height; ++row) {
            const double y = (static_cast<double>(row) + 0.5) * step_y;
            for (std::int64_t column = 0; column < levels[i].width; ++column) {
                const double x = (static_cast<double>(column) + 0.5) * step_x;
                for (const AnchorShape& shape : spec.detector->anchors[i]) {
                    const double half_x = 0.5 * shape.width, half_y = 0.5 * shape.height;
                    for (const double edge : {x - half_x, y - half_y, x + half_x, y + half_y}) {
                        corners.push_back(static_cast<float>(edge));
                    }
                }
            }
        }
    }
    return corners;
}

std::vector<std::vector<AnchorShape>> fit_anchors(const ModelSpec& spec,
                                                  std::span<const LabelledBox> boxes) {
    check_detector(spec);
    std::vector<Shapes> anchors = spec.detector->anchors;
    std::vector<double> sizes;
    for (const Shapes& shapes : anchors) sizes.push_back(mean_log_size(shapes));
    std::vector<Shapes> objects(anchors.size());
    for (const LabelledBox& box : boxes) {
        if (!box.is_object() || (box.flags & kCrowd) != 0) continue;
        const AnchorShape shape{double{box.x1} - double{box.x0}, double{box.y1} - double{box.y0}};
        if (!(shape.width > 0.0 && shape.height > 0.0)) continue;
        const double size = mean_log_size({shape});
        const auto level = std::min_element(sizes.begin(), sizes.end(), [&](double a, double b) {
            return std::abs(a - size) < std::abs(b - size);
        });
        objects[static_cast<std::size_t>(level - sizes.begin())].push_back(shape);
    }
    for (std::size_t i = 0; i < anchors.size(); ++i) {
        if (objects[i].size() < anchors[i].size()) continue;
        std::sort(objects[i].begin(), objects[i].end(), smaller);
        anchors[i] = fit(objects[i], anchors[i].size());
    }
    return anchors;
}

}  // namespace thresher
