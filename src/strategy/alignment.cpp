#include "src/strategy/alignment.hpp"

#include <limits>
#include <numeric>

#include "src/models/token_reader.hpp"

namespace thresher {

void alignment_losses(std::span<const float> images, std::span<const float> captions,
                      std::span<const std::int32_t> tokens, std::span<float> losses) {
    if (losses.empty()) return;
    const std::size_t size = images.size() / losses.size(), length = tokens.size() / losses.size();
    for (std::size_t i = 0; i < losses.size(); ++i) {
        const auto image = images.subspan(i * size, size);
        const double product =
            std::inner_product(image.begin(), image.end(),
                               captions.begin() + static_cast<std::ptrdiff_t>(i * size), 0.0);
        losses[i] = has_words(tokens.subspan(i * length, length))
                        ? static_cast<float>(-product)
                        : std::numeric_limits<float>::quiet_NaN();
    }
}

}  // namespace thresher
