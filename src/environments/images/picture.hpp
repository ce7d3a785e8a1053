#pragma once

// Small grey images whose pixels are numbers, as scenes are made of. Used inside environments.

#include <algorithm>
#include <cstdint>
#include <vector>

namespace thresher {

/// A pixel below this is not seen: sources have faint seams around what they show.
constexpr float kVisible = 48.0F;

struct Rectangle {
    std::int64_t x = 0, y = 0, width = 0, height = 0;

    std::int64_t area() const { return width * height; }
    std::int64_t common(const Rectangle& other) const {
        const auto along = [](std::int64_t a, std::int64_t a_size, std::int64_t b,
                              std::int64_t b_size) {
            return std::max<std::int64_t>(0, std::min(a + a_size, b + b_size) - std::max(a, b));
        };
        return along(x, width, other.x, other.width) * along(y, height, other.y, other.height);
    }
};

/// A grey image.
struct Picture {
    std::int64_t width = 0, height = 0;
    std::vector<float> pixels;

    float& at(std::int64_t y, std::int64_t x) {
        return pixels[static_cast<std::size_t>(y * width + x)];
    }
    float at(std::int64_t y, std::int64_t x) const {
        return pixels[static_cast<std::size_t>(y * width + x)];
    }

    /// Around what is seen; empty where nothing is.
    Rectangle seen() const {
        std::int64_t left = width, right = 0, top = height, bottom = 0;
        for (std::int64_t y = 0; y < height; ++y) {
            for (std::int64_t x = 0; x < width; ++x) {
                if (at(y, x) < kVisible) continue;
                left = std::min(left, x);
                right = std::max(right, x + 1);
                top = std::min(top, y);
                bottom = y + 1;
            }
        }
        if (right == 0) return {};
        return {left, top, right - left, bottom - top};
    }

    Picture cut(const Rectangle& part) const {
        Picture result{part.width, part.height, {}};
        for (std::int64_t y = 0; y < part.height; ++y) {
            const auto first = pixels.begin() + (part.y + y) * width + part.x;
            result.pixels.insert(result.pixels.end(), first, first + part.width);
        }
        return result;
    }

    Picture turned() const {
        Picture result{height, width, std::vector<float>(pixels.size())};
        for (std::int64_t y = 0; y < height; ++y) {
            for (std::int64_t x = 0; x < width; ++x) result.at(x, y) = at(y, x);
        }
        return result;
    }
};

/// At another size, by triangles as wide as the pixels of the coarser of both.
Picture resized(const Picture& from, std::int64_t width, std::int64_t height);

}  // namespace thresher
