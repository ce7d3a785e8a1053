#pragma once

// JPEG and PNG files as pixels, and pixels in another size. Used by the importer of images.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/importers/importers.hpp"

namespace thresher::io {

struct Image {
    std::int64_t width = 0, height = 0, channels = 0;  ///< channels 1 (grey) or 3 (RGB)
    std::vector<unsigned char> pixels;                 ///< [height, width, channels]
};

/// Decodes a whole file into `channels` (1 or 3); transparency is laid over white, 16 bits a sample
/// become 8, CMYK becomes RGB. An EXIF rotation is not applied. Throws FileError, without the
/// file's name, for anything that is neither JPEG nor PNG, is truncated or damaged, or is larger
/// than 2^26 pixels.
Image decode_image(std::string_view file, std::int64_t channels);

/// An image that was decoded in 1 / `reduction` of its size.
struct ReducedImage {
    std::int64_t width = 0, height = 0;              ///< of what was decoded
    std::int64_t whole_width = 0, whole_height = 0;  ///< of the image
    std::int64_t reduction = 1;                      ///< 1, 2, 4 or 8
};

/// Where to put pixels [height, width, channels].
using PixelRoom = std::function<unsigned char*(std::int64_t width, std::int64_t height)>;

/// As decode_image, to where `room` says. A JPEG is reduced while it is decoded, which saves time,
/// as far as its longer side stays at least `side`.
ReducedImage decode_reduced(std::string_view file, std::int64_t channels, std::int64_t side,
                            const PixelRoom& room);

/// True where the file says that it is grey. Throws as decode_image.
bool is_grey(std::string_view file);

/// crop: the shorter side becomes `size` and the centre is cut out; stretch: both sides become
/// `size`. A triangle filter that widens when shrinking, so nothing aliases.
Image resized(const Image& image, std::int64_t size, Resize how);

struct ImageSize {
    std::int64_t width, height;
};

/// Writes a file, decoded, as planes [channels, size, size], where LetterBox has it; channels 1 or
/// 3. Returns the image's own size. Integers throughout, so the same bytes on every machine. Throws
/// as decode_image.
ImageSize decode_letter_boxed(std::string_view file, std::int64_t channels, std::int64_t size,
                              std::span<std::byte> planes);

}  // namespace thresher::io
