#include "src/training/augment/box_augment.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

#include "src/base/check.hpp"
#include "src/base/narrow.hpp"
#include "src/pool/letter_box.hpp"
#include "src/random/philox.hpp"
#include "src/training/augment/image_window.hpp"

namespace thresher {
namespace {

constexpr int kTrials = 40;
constexpr double kSmallestCrop = 0.3, kFlattest = 2.0;
/// What a crop overlaps one of the boxes by; below 0: the whole image.
constexpr std::array kOverlaps{-1.0, 0.0, 0.1, 0.3, 0.5, 0.7, 0.9};

// Draws of a row. crop_and_flip() has those below 64.
enum Draw : int {
    kExpand = 64,
    kExpansion,
    kOffsetX,
    kOffsetY,
    kOverlap,
    kMirror,
    kBrightness = 72,
    kContrast = 74,
    kSaturation = 76,
    kHue = 78,
    kTrial = 128
};

/// The random numbers of one row.
struct RowDraws {
    const KeyedRandom& random;
    std::int64_t id;

    double uniform(int draw) const { return random.uniform(id, static_cast<std::uint16_t>(draw)); }
    bool coin(int draw) const { return uniform(draw) < 0.5; }
    double between(double least, double most, int draw) const {
        return least + (most - least) * uniform(draw);
    }
};

struct Rectangle {
    double x0, y0, x1, y1;

    double area() const { return (x1 - x0) * (y1 - y0); }
    bool holds_centre(const LabelledBox& box) const {
        const double x = 0.5 * (static_cast<double>(box.x0) + static_cast<double>(box.x1)),
                     y = 0.5 * (static_cast<double>(box.y0) + static_cast<double>(box.y1));
        return x > x0 && x < x1 && y > y0 && y < y1;
    }
    /// Intersection over union.
    double overlap(const LabelledBox& box) const {
        const Rectangle other{box.x0, box.y0, box.x1, box.y1};
        const double width = std::min(x1, other.x1) - std::max(x0, other.x0),
                     height = std::min(y1, other.y1) - std::max(y0, other.y0);
        if (width <= 0.0 || height <= 0.0) return 0.0;
        const double both = width * height;
        return both / (area() + other.area() - both);
    }
};

/// What a pool's images are changed by, and their boxes.
class Recipe {
  public:
    explicit Recipe(const PoolInfo& pool)
        : pool_(pool),
          height_(static_cast<double>(pool.input_shape[1])),
          width_(static_cast<double>(pool.input_shape[2])) {}

    Colours colours(const RowDraws& draws) const;
    Window window(const RowDraws& draws, std::span<const LabelledBox> objects) const;
    /// Moves the boxes with the image; those that are cut off become no objects, at the end.
    void move(const Window& window, std::span<LabelledBox> boxes) const;
    std::vector<float> fill() const;

  private:
    double mean(std::size_t channel) const {
        return pool_.mean[pool_.mean.size() == 1 ? 0 : channel] / pool_.scale;
    }
    Rectangle crop(const RowDraws& draws, std::span<const LabelledBox> objects,
                   const Rectangle& canvas) const;

    const PoolInfo& pool_;
    double height_, width_;
};

std::vector<float> Recipe::fill() const {
    std::vector<float> values;
    for (std::size_t c = 0; std::cmp_less(c, pool_.input_shape[0]); ++c) {
        values.push_back(pool_.element_type == ElementType::uint8 ? float{kLetterBoxGrey}
                                                                  : static_cast<float>(mean(c)));
    }
    return values;
}

/// All of it is linear, so it is one matrix: contrast, saturation and hue turn and stretch what is
/// around the pool's mean.
Colours Recipe::colours(const RowDraws& draws) const {
    const double most =
        pool_.element_type == ElementType::uint8 ? 32.0 : 0.5 * pool_.std[0] / pool_.scale;
    const double brightness =
        draws.coin(kBrightness) ? draws.between(-most, most, kBrightness + 1) : 0.0;
    const double contrast = draws.coin(kContrast) ? draws.between(0.5, 1.5, kContrast + 1) : 1.0;
    Colours colours;
    if (pool_.input_shape[0] != 3) {
        colours.changed = brightness != 0.0 || contrast != 1.0;
        colours.gain = static_cast<float>(contrast);
        colours.offset[0] = static_cast<float>(brightness + (1.0 - contrast) * mean(0));
        return colours;
    }
    const double saturation =
        draws.coin(kSaturation) ? draws.between(0.5, 1.5, kSaturation + 1) : 1.0;
    const double hue =
        draws.coin(kHue) ? draws.between(-1.0, 1.0, kHue + 1) * std::numbers::pi / 10 : 0.0;
    colours.changed = brightness != 0.0 || contrast != 1.0 || saturation != 1.0 || hue != 0.0;
    // Hue: a turn about the axis of greys (Rodrigues). Saturation: the distance from luma (BT.601).
    const double cosine = std::cos(hue), shared = (1.0 - cosine) / 3.0,
                 sine = std::sin(hue) / std::numbers::sqrt3;
    const std::array<double, 3> turn{cosine + shared, shared - sine, shared + sine};
    const std::array<double, 3> luma{0.299, 0.587, 0.114};
    for (std::size_t c = 0; c < 3; ++c) {
        double offset = mean(c) + brightness;
        for (std::size_t k = 0; k < 3; ++k) {
            double grey = 0.0;
            for (std::size_t j = 0; j < 3; ++j) grey += luma[j] * turn[(k + 3 - j) % 3];
            const double value =
                contrast * (saturation * turn[(k + 3 - c) % 3] + (1.0 - saturation) * grey);
            colours.matrix[c][k] = static_cast<float>(value);
            offset -= value * mean(k);
        }
        colours.offset[c] = static_cast<float>(offset);
    }
    return colours;
}

Rectangle Recipe::crop(const RowDraws& draws, std::span<const LabelledBox> objects,
                       const Rectangle& canvas) const {
    const double least = kOverlaps[static_cast<std::size_t>(draws.uniform(kOverlap) *
                                                            static_cast<double>(kOverlaps.size()))];
    if (least < 0.0) return canvas;
    const double width = canvas.x1 - canvas.x0, height = canvas.y1 - canvas.y0;
    for (int draw = kTrial; draw < kTrial + 4 * kTrials; draw += 4) {
        const double across = width * draws.between(kSmallestCrop, 1.0, draw),
                     down = height * draws.between(kSmallestCrop, 1.0, draw + 1);
        if (across > kFlattest * down || down > kFlattest * across) continue;
        const double x = canvas.x0 + (width - across) * draws.uniform(draw + 2),
                     y = canvas.y0 + (height - down) * draws.uniform(draw + 3);
        const Rectangle part{x, y, x + across, y + down};
        double most = 0.0;
        bool holds = false;
        for (const LabelledBox& box : objects) {
            most = std::max(most, part.overlap(box));
            holds = holds || part.holds_centre(box);
        }
        if (objects.empty() || (holds && most >= least)) return part;
    }
    return canvas;
}

Window Recipe::window(const RowDraws& draws, std::span<const LabelledBox> objects) const {
    Window window;
    window.x = {0.0, width_, 0, pool_.input_shape[2], draws.coin(kMirror)};
    window.y = {0.0, height_, 0, pool_.input_shape[1], false};
    if (draws.coin(kExpand)) {
        const double ratio = draws.between(1.0, kLargestExpansion, kExpansion);
        const auto expand = [&](WindowAxis& axis, double extent, int draw) {
            const std::int64_t canvas = std::llround(ratio * extent), image = axis.canvas_end;
            const auto before = static_cast<std::int64_t>(draws.uniform(draw) *
                                                          static_cast<double>(canvas - image + 1));
            axis.canvas_begin = -before;
            axis.canvas_end = canvas - before;
        };
        expand(window.x, width_, kOffsetX);
        expand(window.y, height_, kOffsetY);
    }
    const Rectangle part = crop(
        draws, objects,
        {static_cast<double>(window.x.canvas_begin), static_cast<double>(window.y.canvas_begin),
         static_cast<double>(window.x.canvas_end), static_cast<double>(window.y.canvas_end)});
    window.x.begin = part.x0;
    window.x.length = part.x1 - part.x0;
    window.y.begin = part.y0;
    window.y.length = part.y1 - part.y0;
    return window;
}

void Recipe::move(const Window& window, std::span<LabelledBox> boxes) const {
    const Rectangle part{window.x.begin, window.y.begin, window.x.begin + window.x.length,
                         window.y.begin + window.y.length};
    std::size_t kept = 0;
    for (const LabelledBox& box : boxes) {
        if (!box.is_object()) break;
        if (!part.holds_centre(box)) continue;
        const auto along = [](const WindowAxis& axis, float from, float to, double extent) {
            const double a = axis.map(from, extent), b = axis.map(to, extent);
            return std::pair(static_cast<float>(std::clamp(std::min(a, b), 0.0, extent)),
                             static_cast<float>(std::clamp(std::max(a, b), 0.0, extent)));
        };
        LabelledBox moved = box;
        std::tie(moved.x0, moved.x1) = along(window.x, box.x0, box.x1, width_);
        std::tie(moved.y0, moved.y1) = along(window.y, box.y0, box.y1, height_);
        const float size = (moved.x1 - moved.x0) * (moved.y1 - moved.y0);
        if (moved.x0 >= moved.x1 || moved.y0 >= moved.y1) continue;
        moved.area *= size / ((box.x1 - box.x0) * (box.y1 - box.y0));
        boxes[kept++] = moved;
    }
    std::fill(boxes.begin() + static_cast<std::ptrdiff_t>(kept), boxes.end(), LabelledBox{});
}

template <class Element>
void augment(Examples& examples, const PoolInfo& pool, const KeyedRandom& random) {
    const Recipe recipe(pool);
    WindowImages<Element> images(pool.input_shape[0], pool.input_shape[1], pool.input_shape[2],
                                 recipe.fill());
    const auto size = static_cast<std::size_t>(pool.elements_per_row()),
               most = static_cast<std::size_t>(pool.most_boxes);
    auto* const inputs = reinterpret_cast<Element*>(examples.inputs.data());
    for (std::size_t i = 0; i < examples.ids.size(); ++i) {
        const RowDraws draws{random, examples.ids[i]};
        const auto boxes = std::span(examples.boxes).subspan(i * most, most);
        const auto end = std::find_if(boxes.begin(), boxes.end(),
                                      [](const LabelledBox& box) { return !box.is_object(); });
        const Window window = recipe.window(draws, {boxes.begin(), end});
        images.apply(std::span(inputs + i * size, size), window, recipe.colours(draws));
        recipe.move(window, boxes);
    }
}

}  // namespace

void augment_boxes(Examples& examples, const PoolInfo& pool, std::uint64_t seed,
                   std::int64_t epoch) {
    THRESHER_CHECK_AS(UsageError, pool.has_boxes && pool.input_shape.size() == 3,
                      "augment boxes takes images [channels, height, width] with boxes, but {} has "
                      "inputs [{}] {} boxes; use augment none",
                      pool.path, fmt::join(pool.input_shape, ", "),
                      pool.has_boxes ? "with" : "without");
    THRESHER_CHECK(
        std::cmp_equal(examples.boxes.size(), std::ssize(examples.ids) * pool.most_boxes),
        "{} examples have {} boxes, expected {} a row", examples.ids.size(), examples.boxes.size(),
        pool.most_boxes);
    const KeyedRandom random(seed, Stream::augmentation, narrow<std::uint32_t>(epoch));
    if (pool.element_type == ElementType::uint8) {
        augment<std::uint8_t>(examples, pool, random);
    } else {
        augment<float>(examples, pool, random);
    }
}

}  // namespace thresher
