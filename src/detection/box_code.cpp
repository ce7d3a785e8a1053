#include "src/detection/box_code.hpp"

#include <algorithm>
#include <cmath>

namespace thresher {

namespace {

/// A box by its centre and sides, in one direction.
struct Extent {
    double centre, length;

    Extent(float begin, float end)
        : centre(0.5 * (double{begin} + double{end})), length(double{end} - double{begin}) {}
};

}  // namespace

void encode_box(std::span<const float, 4> anchor, std::span<const float, 4> box,
                const BoxCode& weights, std::span<float, 4> code) {
    for (std::size_t axis = 0; axis < 2; ++axis) {
        const Extent from(anchor[axis], anchor[axis + 2]), to(box[axis], box[axis + 2]);
        code[axis] = static_cast<float>(weights[axis] * (to.centre - from.centre) / from.length);
        code[axis + 2] = static_cast<float>(weights[axis + 2] * std::log(to.length / from.length));
    }
}

void decode_box(std::span<const float, 4> anchor, std::span<const float, 4> code,
                const BoxCode& weights, std::span<float, 4> box) {
    static const double largest = std::log(1000.0 / 16.0);
    for (std::size_t axis = 0; axis < 2; ++axis) {
        const Extent from(anchor[axis], anchor[axis + 2]);
        const double centre = from.centre + double{code[axis]} / weights[axis] * from.length;
        const double length =
            from.length * std::exp(std::min(double{code[axis + 2]} / weights[axis + 2], largest));
        box[axis] = static_cast<float>(centre - 0.5 * length);
        box[axis + 2] = static_cast<float>(centre + 0.5 * length);
    }
}

}  // namespace thresher
