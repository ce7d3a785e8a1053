#pragma once

// Image files as rows of one shape, decoded in parallel and handed on in order. Used by the
// importers of images.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "io/importers/importers.hpp"

namespace thresher::io {

/// An image as a row, or the reason why it is none.
struct DecodedImage {
    std::vector<std::byte> inputs;       ///< [C, H, W]; empty where there is a reason
    std::int64_t width = 0, height = 0;  ///< of the file, before it was resized
    std::string reason;
};

class ImageRows {
  public:
    /// The bytes of a file; throws FileError.
    using Read = std::function<std::string(const std::string& name)>;
    using Body = std::function<void(std::size_t index, const DecodedImage& image)>;

    /// `read` is called from several threads. Throws UsageError for a size that is not allowed,
    /// FileError where no file can be decoded.
    ImageRows(const ImportOptions& options, std::vector<std::string> names, Read read);

    /// [C, H, W], of the first image that can be decoded. C is 1 where all images are grey.
    const std::vector<std::int64_t>& shape() const { return shape_; }

    /// Calls `body` once for each name, in their order. Where options.ranks is more than one rank,
    /// the others are in help_decoding().
    void for_each(const Body& body) const;

  private:
    std::int64_t channels() const;

    const ImportOptions& options_;
    std::vector<std::string> names_;
    Read read_;
    std::vector<std::int64_t> shape_;
};

/// Decodes a file; what is wrong with it is the reason. A `shape` with a height of 0 allows any
/// size.
DecodedImage decode_row(const ImportOptions& options, const ImageRows::Read& read,
                        const std::string& name, const std::vector<std::int64_t>& shape);

}  // namespace thresher::io
