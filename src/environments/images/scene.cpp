#include "src/environments/images/scene.hpp"

#include <algorithm>
#include <cmath>
#include <optional>

#include "src/base/narrow.hpp"
#include "src/environments/images/picture.hpp"
#include "src/random/philox.hpp"

namespace thresher {
namespace {

/// The longer side of items and fragments, against the side of a scene: 10 to 26 and 4 to 14 of 64.
constexpr double kSmallestItem = 10.0 / 64.0, kLargestItem = 26.0 / 64.0;
constexpr double kSmallestFragment = 4.0 / 64.0, kLargestFragment = 14.0 / 64.0;
/// Of the smaller of two items, what the other may cover.
constexpr double kMostOverlap = 0.1;
constexpr int kTries = 32;

// Rounds of the random numbers of a scene: of itself, of each item, of each line of noise.
constexpr std::uint32_t kSceneRound = 0, kItemRound = 1, kNoiseRound = 100;

/// The random numbers of one item of one scene.
struct ItemDraws {
    KeyedRandom random;
    std::int64_t scene;

    ItemDraws(std::uint64_t seed, std::int64_t of_scene, std::size_t item)
        : random(seed, Stream::scene, kItemRound + narrow<std::uint32_t>(item)), scene(of_scene) {}

    double between(double least, double most, int draw) const {
        return least + (most - least) * random.uniform(scene, static_cast<std::uint16_t>(draw));
    }
    /// Takes the draws up to `draw` + 8.
    std::int64_t below(std::int64_t bound, int draw) const {
        return random.integer(scene, bound, static_cast<std::uint16_t>(draw));
    }
};

/// Try `number` of a place for a picture of this shape.
Rectangle place(const ItemDraws& draws, const Picture& picture, double least, double most,
                std::int64_t size, int number) {
    const int draw = 64 + 24 * number;
    const double side = std::round(static_cast<double>(size) * draws.between(least, most, draw));
    const double scale = side / static_cast<double>(std::max(picture.width, picture.height));
    const auto scaled = [&](std::int64_t extent) {
        return std::clamp<std::int64_t>(std::llround(scale * static_cast<double>(extent)), 1, size);
    };
    const std::int64_t width = scaled(picture.width), height = scaled(picture.height);
    return {draws.below(size - width + 1, draw + 8), draws.below(size - height + 1, draw + 16),
            width, height};
}

bool covers_too_much(const Rectangle& one, const std::vector<Rectangle>& others) {
    return std::any_of(others.begin(), others.end(), [&](const Rectangle& other) {
        return static_cast<double>(one.common(other)) >
               kMostOverlap * static_cast<double>(std::min(one.area(), other.area()));
    });
}

/// Somewhere within the picture, a third to two thirds of either side.
Rectangle fragment(const ItemDraws& draws, const Picture& picture) {
    const auto part = [&](std::int64_t side, int draw) {
        const auto extent = static_cast<double>(side);
        return std::max<std::int64_t>(1, std::llround(extent * draws.between(0.33, 0.67, draw)));
    };
    const std::int64_t width = part(picture.width, 24), height = part(picture.height, 25);
    return {draws.below(picture.width - width + 1, 32),
            draws.below(picture.height - height + 1, 40), width, height};
}

/// What `canvas` shows, before a ground of some grey and with noise all over.
std::vector<std::uint8_t> on_ground(const Picture& canvas, const SceneOptions& options, bool junk,
                                    std::int64_t scene) {
    const KeyedRandom random(options.seed, Stream::scene, kSceneRound);
    const auto between = [&](double least, double most, std::uint16_t draw) {
        return options.noise * (least + (most - least) * random.uniform(scene, draw));
    };
    const auto grey = static_cast<float>(between(16.0, 64.0, 24));
    const double deviation = between(6.0, 18.0, 25);
    const bool strong = junk && (random.bits(scene, 26) & 1U) != 0;
    // Of a sum of four bytes, which is nearly normal.
    const auto scale =
        static_cast<float>((strong ? 3.0 : 1.0) * deviation / std::sqrt(4.0 * 65535.0 / 12.0));
    std::vector<std::uint8_t> pixels(canvas.pixels.size());
    for (std::int64_t y = 0; y < canvas.height; ++y) {
        const KeyedRandom line(options.seed, Stream::scene, kNoiseRound + narrow<std::uint32_t>(y));
        std::uint64_t bytes = 0;
        for (std::int64_t x = 0; x < canvas.width; ++x) {
            bytes = x % 2 == 0 ? line.bits(scene, narrow<std::uint16_t>(x / 2)) : bytes >> 32;
            const auto sum = (bytes & 0xFFU) + (bytes >> 8 & 0xFFU) + (bytes >> 16 & 0xFFU) +
                             (bytes >> 24 & 0xFFU);
            const float value = canvas.at(y, x) + grey + scale * (static_cast<float>(sum) - 510.0F);
            pixels[static_cast<std::size_t>(y * canvas.width + x)] =
                static_cast<std::uint8_t>(std::lround(std::clamp(value, 0.0F, 255.0F)));
        }
    }
    return pixels;
}

}  // namespace

SceneMaker::SceneMaker(const SceneOptions& options, const SceneRows& rows, std::int64_t height,
                       std::int64_t width)
    : options_(options), rows_(rows), height_(height), width_(width) {}

bool SceneMaker::is_junk(std::int64_t scene) const {
    return KeyedRandom(options_.seed, Stream::scene, kSceneRound).uniform(scene, 0) < options_.junk;
}

std::vector<SceneItem> SceneMaker::items(std::int64_t scene) const {
    const KeyedRandom random(options_.seed, Stream::scene, kSceneRound);
    const bool junk = is_junk(scene);
    std::vector<SceneItem> items(static_cast<std::size_t>(junk ? 2 + random.integer(scene, 5, 8)
                                                               : 1 + random.integer(scene, 4, 8)));
    const bool alike = random.uniform(scene, 20) < options_.alike;
    for (std::size_t i = 0; i < items.size(); ++i) {
        const ItemDraws draws(options_.seed, scene, i);
        const std::vector<std::int64_t>* from = &rows_.clutter;
        if (!junk) {
            double left = ItemDraws(options_.seed, scene, alike ? 0 : i).between(0.0, 1.0, 0);
            for (std::size_t c = 0; c < options_.class_shares.size(); ++c) {
                if (options_.class_shares[c] <= 0.0) continue;
                items[i].class_index = narrow<std::int32_t>(c);  // the last, should rounding ask
                if ((left -= options_.class_shares[c]) < 0.0) break;
            }
            from = &rows_.of_class[static_cast<std::size_t>(items[i].class_index)];
        }
        items[i].row = (*from)[static_cast<std::size_t>(draws.below(std::ssize(*from), 8))];
    }
    return items;
}

Scene SceneMaker::compose(std::int64_t scene, std::span<const SceneItem> items,
                          std::span<const std::uint8_t> images) const {
    const std::int64_t size = options_.size;
    Picture canvas{size, size, std::vector<float>(static_cast<std::size_t>(size * size))};
    std::vector<Rectangle> taken;
    Scene result;
    for (std::size_t i = 0; i < items.size(); ++i) {
        const ItemDraws draws(options_.seed, scene, i);
        const auto pixels = images.subspan(i * static_cast<std::size_t>(height_ * width_),
                                           static_cast<std::size_t>(height_ * width_));
        Picture item{width_, height_, {pixels.begin(), pixels.end()}};
        const Rectangle seen = item.seen();
        if (seen.area() == 0) continue;
        item = item.cut(seen);
        const bool object = items[i].class_index >= 0;
        if (!object) item = item.cut(fragment(draws, item));
        std::optional<Rectangle> at;
        for (int number = 0; number < kTries && !at; ++number) {
            at = place(draws, item, object ? kSmallestItem : kSmallestFragment,
                       object ? kLargestItem : kLargestFragment, size, number);
            if (object && covers_too_much(*at, taken)) at.reset();
        }
        if (!at) continue;
        taken.push_back(*at);
        item = resized(item, at->width, at->height);
        const Rectangle box = item.seen();
        if (object && (2 * box.width < at->width || 2 * box.height < at->height)) continue;
        const auto brightness = static_cast<float>(draws.between(0.45, 1.0, 16));
        std::int64_t area = 0;
        for (std::int64_t y = 0; y < at->height; ++y) {
            for (std::int64_t x = 0; x < at->width; ++x) {
                if (item.at(y, x) < kVisible) continue;
                float& pixel = canvas.at(at->y + y, at->x + x);
                pixel = std::max(pixel, brightness * item.at(y, x));
                ++area;
            }
        }
        if (!object) continue;
        const auto x0 = static_cast<float>(at->x + box.x), y0 = static_cast<float>(at->y + box.y);
        result.boxes.push_back({x0, y0, x0 + static_cast<float>(box.width),
                                y0 + static_cast<float>(box.height), static_cast<float>(area),
                                items[i].class_index, 0});
    }
    result.pixels = on_ground(canvas, options_, is_junk(scene), scene);
    return result;
}

}  // namespace thresher
