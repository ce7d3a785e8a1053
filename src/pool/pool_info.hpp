#pragma once

// What is known of a pool before any of its rows is read.

#include <cstdint>
#include <string>
#include <vector>

namespace thresher {

enum class ElementType { uint8, float32 };

inline std::int64_t size_of(ElementType type) { return type == ElementType::uint8 ? 1 : 4; }

struct PoolInfo {
    std::string path;
    std::int64_t rows = 0;
    std::vector<std::int64_t>
        input_shape;  ///< of one example, [C, H, W] for images, [d] for vectors
    ElementType element_type = ElementType::uint8;
    /// A model sees (x * scale - mean[c]) / std[c]; mean and std have one entry, or one per
    /// channel.
    double scale = 1.0;
    std::vector<double> mean{0.0}, std{1.0};
    bool has_targets = false, has_clean_targets = false, has_names = false, has_ids = false;
    std::vector<std::string> class_names;  ///< empty where targets are unknown or unnamed
    std::int64_t classes = 0;       ///< class_names.size(), or largest target + 1; 0 = unknown
    std::int64_t block_rows = 0;    ///< rows per block; the last block may be shorter
    std::int64_t token_length = 0;  ///< L, tokens of every caption; 0 where the pool has no text
    std::int64_t vocabulary = 0;    ///< tokens are below it; token 0 is padding
    bool has_caption_of = false;    ///< the truth behind shuffled captions
    /// Of pools for detection; `classes` are then those of the boxes.
    bool has_boxes = false, has_box_areas = false, has_image_sizes = false;
    std::int64_t most_boxes = 0;  ///< of a row; known to the sources of examples and blocks

    std::int64_t elements_per_row() const {
        std::int64_t elements = 1;
        for (std::int64_t extent : input_shape) elements *= extent;
        return elements;
    }
    std::int64_t bytes_per_row() const { return elements_per_row() * size_of(element_type); }
};

}  // namespace thresher
