#pragma once

// Small pools made on the fly, for tests of models, strategies and training.

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "src/pool/memory_source.hpp"
#include "src/random/philox.hpp"

namespace thresher {

/// Random bytes as inputs, targets i mod classes.
inline MemoryPool byte_pool(std::int64_t rows, std::vector<std::int64_t> shape,
                            std::int64_t classes) {
    MemoryPool pool;
    pool.info.path = "toy.h5";
    pool.info.rows = rows;
    pool.info.input_shape = std::move(shape);
    pool.info.scale = 1.0 / 255.0;
    pool.info.mean = {0.5};
    pool.info.std = {0.25};
    pool.info.has_targets = true;
    pool.info.classes = classes;
    pool.info.block_rows = 16;
    pool.inputs.resize(static_cast<std::size_t>(rows * pool.info.bytes_per_row()));
    const KeyedRandom random(1, Stream::synthetic, 0);
    for (std::size_t i = 0; i < pool.inputs.size(); ++i) {
        pool.inputs[i] = static_cast<std::byte>(random.bits(static_cast<std::int64_t>(i)) & 0xFFU);
    }
    for (std::int64_t i = 0; i < rows; ++i) {
        pool.targets.push_back(i % classes);
        pool.ids.push_back(i);
    }
    return pool;
}

/// Vectors in float32 with the given targets; `values` is [rows, d].
inline MemoryPool vector_pool(const std::vector<float>& values, std::int64_t d,
                              std::vector<std::int64_t> targets, std::int64_t classes) {
    MemoryPool pool;
    pool.info.path = "toy.h5";
    pool.info.rows = static_cast<std::int64_t>(values.size()) / d;
    pool.info.input_shape = {d};
    pool.info.element_type = ElementType::float32;
    pool.info.has_targets = true;
    pool.info.classes = classes;
    pool.info.block_rows = 16;
    pool.inputs.resize(values.size() * sizeof(float));
    std::memcpy(pool.inputs.data(), values.data(), pool.inputs.size());
    pool.targets = std::move(targets);
    for (std::int64_t i = 0; i < pool.info.rows; ++i) pool.ids.push_back(i);
    return pool;
}

/// Four classes of points in the plane, by quadrant, none nearer to an axis than 0.2.
inline MemoryPool quadrant_pool(std::int64_t rows) {
    const KeyedRandom random(2, Stream::synthetic, 0);
    std::vector<float> values;
    std::vector<std::int64_t> targets;
    for (std::int64_t i = 0; i < rows; ++i) {
        const bool right = (random.bits(i, 0) & 1U) != 0, up = (random.bits(i, 1) & 1U) != 0;
        const double x = 0.2 + 0.8 * random.uniform(i, 2), y = 0.2 + 0.8 * random.uniform(i, 3);
        values.push_back(static_cast<float>(right ? x : -x));
        values.push_back(static_cast<float>(up ? y : -y));
        targets.push_back((right ? 1 : 0) + (up ? 2 : 0));
    }
    return vector_pool(values, 2, std::move(targets), 4);
}

}  // namespace thresher
