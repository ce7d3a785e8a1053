#pragma once

// Images and captions made on the fly: what an image shows is what its caption says.

#include <algorithm>
#include <numeric>

#include "src/models/model_spec.hpp"
#include "tests/support/toy_pool.hpp"

namespace thresher {

/// Vectors [12] of three attributes of four values each, with noise, and captions of 3 to 6 tokens
/// that name them in an order of their own. `captions` rows in a row show the same image. About
/// `shuffled` of the captions are those of another image.
inline MemoryPool pair_pool(std::int64_t images, std::int64_t captions = 1, double shuffled = 0.0,
                            std::uint64_t seed = 4) {
    constexpr std::int64_t kWidth = 12, kLength = 6;
    const KeyedRandom random(seed, Stream::synthetic, 0);
    std::vector<float> values;
    MemoryPool pool;
    std::vector<std::int32_t> tokens;
    std::vector<std::int64_t> image_ids;
    for (std::int64_t row = 0; row < images * captions; ++row) {
        const std::int64_t image = row / captions;
        std::vector<std::int32_t> words;
        for (std::int64_t attribute = 0; attribute < 3; ++attribute) {
            const std::int64_t value = random.integer(3 * image + attribute, 4);
            words.push_back(static_cast<std::int32_t>(1 + 4 * attribute + value));
            for (std::int64_t i = 0; i < 4; ++i) {
                const std::int64_t element = (image * kWidth + 4 * attribute + i) + 100000;
                values.push_back(
                    static_cast<float>((i == value ? 1.0 : 0.0) + 0.1 * random.normal(element)));
            }
        }
        std::rotate(words.begin(), words.begin() + random.integer(200000 + row, 3), words.end());
        // Words that say nothing.
        for (std::int64_t i = random.integer(300000 + row, 4); i > 0; --i) words.push_back(13);
        words.resize(kLength, 0);
        tokens.insert(tokens.end(), words.begin(), words.end());
        image_ids.push_back(100 + image);
    }
    pool = vector_pool(values, kWidth, {}, 0);
    pool.info.has_targets = false;
    pool.info.token_length = kLength;
    pool.info.vocabulary = 14;
    pool.info.has_caption_of = true;
    pool.tokens = tokens;
    pool.image_ids = pool.caption_of = image_ids;
    const std::int64_t rows = pool.info.rows;
    for (std::int64_t row = 0; row < rows; ++row) {
        if (random.uniform(400000 + row) >= shuffled) continue;
        const std::int64_t other = random.integer(500000 + row, rows);
        std::copy_n(tokens.begin() + other * kLength, kLength, pool.tokens.begin() + row * kLength);
        pool.caption_of[static_cast<std::size_t>(row)] = image_ids[static_cast<std::size_t>(other)];
    }
    return pool;
}

/// A two-tower for it: a perceptron and a transformer of one layer.
inline ModelSpec pair_spec(const PoolInfo& pool, std::vector<std::int64_t> hidden = {16}) {
    ModelSpec spec = spec_for_pool("two-tower", pool);
    spec.hidden = std::move(hidden);
    spec.towers->image = "mlp";
    spec.towers->text_width = 32;
    spec.towers->text_layers = 1;
    spec.towers->embedding = 16;
    return spec;
}

}  // namespace thresher
