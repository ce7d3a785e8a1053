#pragma once

// Small pools with boxes. Row i has i mod 4 boxes; box j of it starts at (i, j), is 2 + j wide and
// 3 high, of class (i + j) mod 3, and its object has the area 10 i + j.

#include "io/pool/pool_file.hpp"
#include "src/pool/boxes.hpp"
#include "tests/io/support.hpp"

namespace thresher::test {

inline Boxes boxes_of(RowRange rows) {
    Boxes boxes;
    for (std::int64_t i = rows.begin; i < rows.end; ++i) {
        for (std::int64_t j = 0; j < i % 4; ++j) {
            const auto x = static_cast<float>(i), y = static_cast<float>(j);
            boxes.corners.insert(boxes.corners.end(), {x, y, x + 2.0F + y, y + 3.0F});
            boxes.classes.push_back((i + j) % 3);
            boxes.flags.push_back(static_cast<std::uint8_t>(j));
            boxes.areas.push_back(10.0F * x + y);
        }
        boxes.offsets.push_back(std::ssize(boxes.classes));
        boxes.image_sizes.push_back(static_cast<std::int32_t>(100 + i));
        boxes.image_sizes.push_back(static_cast<std::int32_t>(200 + i));
    }
    return boxes;
}

inline bool same(const Boxes& a, const Boxes& b) {
    return a.offsets == b.offsets && a.corners == b.corners && a.classes == b.classes &&
           a.flags == b.flags && a.areas == b.areas && a.image_sizes == b.image_sizes;
}

/// Inputs u8 [1]: the row.
inline void write_box_pool(const std::string& path, std::int64_t rows,
                           io::PoolWriterOptions options = {}) {
    io::PoolSchema schema;
    schema.input_shape = {1};
    schema.class_names = {"ant", "bee", "cat"};
    schema.boxes = {true, true, true};
    io::PoolWriter writer(path, schema, {}, options);
    // In pieces of 3 rows, so that pieces and shards do not end together.
    for (std::int64_t begin = 0; begin < rows; begin += 3) {
        const RowRange piece{begin, std::min(rows, begin + 3)};
        std::vector<std::byte> inputs;
        for (std::int64_t i = piece.begin; i < piece.end; ++i) {
            inputs.push_back(static_cast<std::byte>(i));
        }
        const Boxes boxes = boxes_of(piece);
        io::PoolRows some;
        some.rows = piece.size();
        some.inputs = inputs;
        some.boxes = &boxes;
        writer.append(some);
    }
    writer.finish();
}

inline Boxes read_all_boxes(const io::PoolFile& pool) {
    Boxes boxes;
    pool.read_boxes({0, pool.info().rows}, boxes);
    return boxes;
}

}  // namespace thresher::test
