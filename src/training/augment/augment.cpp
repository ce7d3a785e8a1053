#include "src/training/augment/augment.hpp"

#include <algorithm>
#include <vector>

#include "src/base/check.hpp"
#include "src/base/narrow.hpp"
#include "src/random/philox.hpp"

namespace thresher {
namespace {

struct Move {
    std::int64_t down, right;  ///< pixel (y, x) of the result is (y - down, x - right) of the image
    bool mirror;
};

template <class Element>
void move_image(std::span<Element> image, std::int64_t channels, std::int64_t height,
                std::int64_t width, const Move& move, std::vector<Element>& scratch) {
    scratch.assign(image.begin(), image.end());
    std::size_t out = 0;
    for (std::int64_t c = 0; c < channels; ++c) {
        for (std::int64_t y = 0; y < height; ++y) {
            for (std::int64_t x = 0; x < width; ++x, ++out) {
                const std::int64_t from_y = y - move.down;
                const std::int64_t shifted = x - move.right;
                const std::int64_t from_x = move.mirror ? width - 1 - shifted : shifted;
                const bool inside = from_y >= 0 && from_y < height && from_x >= 0 && from_x < width;
                image[out] =
                    inside
                        ? scratch[static_cast<std::size_t>((c * height + from_y) * width + from_x)]
                        : Element{};
            }
        }
    }
}

template <class Element>
void move_images(Element* images, const PoolInfo& pool, std::span<const std::int64_t> ids,
                 const KeyedRandom& random) {
    const std::int64_t height = pool.input_shape[1], width = pool.input_shape[2];
    const auto size = static_cast<std::size_t>(pool.elements_per_row());
    std::vector<Element> scratch;
    for (std::size_t i = 0; i < ids.size(); ++i) {
        const auto shift = [&](std::int64_t most, std::uint16_t draw) {
            return random.integer(ids[i], 2 * most + 1, draw) - most;
        };
        // Draws 8 apart: integer() takes the following ones in the rare case of a rejection.
        const Move move{shift(height / 8, 0), shift(width / 8, 8),
                        (random.bits(ids[i], 16) & 1U) != 0};
        move_image(std::span<Element>(images + i * size, size), pool.input_shape[0], height, width,
                   move, scratch);
    }
}

}  // namespace

void crop_and_flip(std::span<std::byte> inputs, const PoolInfo& pool,
                   std::span<const std::int64_t> ids, std::uint64_t seed, std::int64_t epoch) {
    THRESHER_CHECK_AS(
        UsageError, pool.input_shape.size() == 3,
        "augment crop-flip takes images [channels, height, width], but the inputs of {} "
        "have shape [{}]; use augment none",
        pool.path, fmt::join(pool.input_shape, ", "));
    const KeyedRandom random(seed, Stream::augmentation, narrow<std::uint32_t>(epoch));
    if (pool.element_type == ElementType::uint8) {
        move_images(reinterpret_cast<std::uint8_t*>(inputs.data()), pool, ids, random);
    } else {
        move_images(reinterpret_cast<float*>(inputs.data()), pool, ids, random);
    }
}

}  // namespace thresher
