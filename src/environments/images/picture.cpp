#include "src/environments/images/picture.hpp"

#include <cmath>

namespace thresher {
namespace {

/// Each line at another width.
Picture with_width(const Picture& from, std::int64_t width) {
    Picture result{width, from.height,
                   std::vector<float>(static_cast<std::size_t>(width * from.height))};
    const double scale = static_cast<double>(from.width) / static_cast<double>(width);
    const double reach = std::max(1.0, scale);
    for (std::int64_t x = 0; x < width; ++x) {
        const double centre = (static_cast<double>(x) + 0.5) * scale - 0.5;
        const auto first = std::max<std::int64_t>(0, std::llround(std::ceil(centre - reach)));
        const auto last =
            std::min<std::int64_t>(from.width - 1, std::llround(std::floor(centre + reach)));
        double total = 0.0;
        for (std::int64_t k = first; k <= last; ++k) {
            total += 1.0 - std::abs(static_cast<double>(k) - centre) / reach;
        }
        for (std::int64_t k = first; k <= last; ++k) {
            const auto weight = static_cast<float>(
                (1.0 - std::abs(static_cast<double>(k) - centre) / reach) / total);
            for (std::int64_t y = 0; y < from.height; ++y) {
                result.at(y, x) += weight * from.at(y, k);
            }
        }
    }
    return result;
}

}  // namespace

Picture resized(const Picture& from, std::int64_t width, std::int64_t height) {
    return with_width(with_width(from, width).turned(), height).turned();
}

}  // namespace thresher
