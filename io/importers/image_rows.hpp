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

class ImageRows {
  public:
    /// The bytes of a file; throws FileError.
    using Read = std::function<std::string(const std::string& name)>;
    /// Image `index` as [C, H, W]; or empty, and the reason why there is none.
    using Body = std::function<void(std::size_t index, std::span<const std::byte> inputs,
                                    const std::string& reason)>;

    /// `read` is called from several threads. Throws UsageError for a size that is not allowed,
    /// FileError where no file can be decoded.
    ImageRows(const ImportOptions& options, std::vector<std::string> names, Read read);

    /// [C, H, W], of the first image that can be decoded. C is 1 where all images are grey.
    const std::vector<std::int64_t>& shape() const { return shape_; }

    /// Calls `body` once for each name.
    void for_each(const Body& body) const;

  private:
    struct Decoded {
        std::vector<std::byte> inputs;
        std::vector<std::int64_t> shape;
        std::string reason;
    };

    std::int64_t channels() const;
    Decoded decode(const std::string& name, std::int64_t channels) const;

    const ImportOptions& options_;
    std::vector<std::string> names_;
    Read read_;
    std::vector<std::int64_t> shape_;
};

}  // namespace thresher::io
