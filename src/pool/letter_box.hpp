#pragma once

// How images of any size stand in a square of one size: scaled to fit, at the top left, what is
// left filled with grey. One place says where, for pixels, for boxes, and for the way back.

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace thresher {

/// Between black and white, so that neither edges nor statistics are strong.
constexpr unsigned char kLetterBoxGrey = 114;

struct LetterBox {
    std::int64_t width = 0, height = 0;   ///< of the image within the square
    double scale_x = 1.0, scale_y = 1.0;  ///< x in the square = scale_x * x in the image

    /// `size` is the side of the square; 0: the image stays as it is.
    static LetterBox of(std::int64_t image_width, std::int64_t image_height, std::int64_t size) {
        if (size == 0) return {image_width, image_height, 1.0, 1.0};
        const double scale =
            static_cast<double>(size) / static_cast<double>(std::max(image_width, image_height));
        const auto scaled = [&](std::int64_t side) {
            return std::clamp<std::int64_t>(std::llround(static_cast<double>(side) * scale), 1,
                                            size);
        };
        const std::int64_t width = scaled(image_width), height = scaled(image_height);
        return {width, height, static_cast<double>(width) / static_cast<double>(image_width),
                static_cast<double>(height) / static_cast<double>(image_height)};
    }
};

}  // namespace thresher
