#pragma once

// The boxes of consecutive rows, ragged by offsets, as pools for detection hold them.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "src/pool/blocks.hpp"

namespace thresher {

/// Bits of Boxes::flags.
constexpr std::uint8_t kDifficult = 1, kCrowd = 2;

/// One box of a row by itself. Rows that are gathered from anywhere carry as many as the fullest
/// row of their pool has, those without an object behind the others.
struct LabelledBox {
    float x0 = 0.0F, y0 = 0.0F, x1 = 0.0F, y1 = 0.0F;  ///< edges, pixels of the input
    float area = 0.0F;  ///< of the object, in pixels of the original image; 0: not known
    std::int32_t class_index = -1;  ///< -1: no object
    std::int32_t flags = 0;         ///< kDifficult, kCrowd

    bool is_object() const { return class_index >= 0; }
};

/// The box `i` of row r is one with offsets[r] <= i < offsets[r + 1]. Corners are edges, not
/// pixels: the first pixel of an image covers 0 to 1, so a box is x1 - x0 wide.
struct Boxes {
    std::vector<std::int64_t> offsets{0};  ///< [rows + 1], from 0 on, never descending
    std::vector<float> corners;            ///< [boxes, 4]: x0 < x1, y0 < y1, pixels of the input
    std::vector<std::int64_t> classes;     ///< [boxes]
    std::vector<std::uint8_t> flags;       ///< [boxes]
    /// [boxes], of the object, in pixels of the original image; empty where the pool has none.
    std::vector<float> areas;
    /// [rows, 2], height and width of the original image; empty where the pool has none.
    std::vector<std::int32_t> image_sizes;

    std::int64_t rows() const { return std::ssize(offsets) - 1; }
    std::int64_t count() const { return offsets.back(); }
    /// The boxes of a row.
    RowRange of(std::int64_t row) const {
        const auto r = static_cast<std::size_t>(row);
        return {offsets[r], offsets[r + 1]};
    }

    LabelledBox box(std::int64_t i) const {
        const auto b = static_cast<std::size_t>(i);
        const float* const corner = corners.data() + 4 * b;
        return {corner[0],
                corner[1],
                corner[2],
                corner[3],
                areas.empty() ? 0.0F : areas[b],
                static_cast<std::int32_t>(classes[b]),
                flags[b]};
    }

    /// Row `row` of `from` becomes the last row here.
    void append_row(const Boxes& from, std::int64_t row) {
        const RowRange some = from.of(row);
        const auto copy = [](auto& to, const auto& values, std::int64_t begin, std::int64_t end) {
            if (values.empty()) return;
            to.insert(to.end(), values.begin() + begin, values.begin() + end);
        };
        copy(corners, from.corners, 4 * some.begin, 4 * some.end);
        copy(classes, from.classes, some.begin, some.end);
        copy(flags, from.flags, some.begin, some.end);
        copy(areas, from.areas, some.begin, some.end);
        copy(image_sizes, from.image_sizes, 2 * row, 2 * (row + 1));
        offsets.push_back(offsets.back() + some.size());
    }
};

}  // namespace thresher
