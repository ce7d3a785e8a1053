#pragma once

// JPEG and PNG files as pixels, and pixels in another size. Used by the importer of images.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "io/importers/importers.hpp"

namespace thresher::io {

struct Image {
    std::int64_t width = 0, height = 0, channels = 0;  ///< channels 1 (grey) or 3 (RGB)
    std::vector<unsigned char> pixels;                 ///< [height, width, channels]
};

/// Decodes a whole file into `channels` (1 or 3); transparency is laid over white. Throws
/// FileError, without the file's name, for anything that is neither JPEG nor PNG, is truncated or
/// damaged, or is larger than 2^26 pixels.
Image decode_image(std::string_view file, std::int64_t channels);

/// True where the file says that it is grey. Throws as decode_image.
bool is_grey(std::string_view file);

/// crop: the shorter side becomes `size` and the centre is cut out; stretch: both sides become
/// `size`. A triangle filter that widens when shrinking, so nothing aliases.
Image resized(const Image& image, std::int64_t size, Resize how);

}  // namespace thresher::io
