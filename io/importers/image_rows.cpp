#include "io/importers/image_rows.hpp"

#include <algorithm>

#include "io/importers/image_codec.hpp"
#include "io/importers/image_ranks.hpp"
#include "src/base/check.hpp"

namespace thresher::io {

namespace {

constexpr std::size_t kFilesAtOnce = 256, kBytesAtOnce = 256 << 20;

/// [height, width, channels] to [channels, height, width].
std::vector<std::byte> planes(const Image& image) {
    const auto channels = static_cast<std::size_t>(image.channels);
    const std::size_t pixels = image.pixels.size() / channels;
    std::vector<std::byte> result(image.pixels.size());
    for (std::size_t i = 0; i < pixels; ++i) {
        for (std::size_t c = 0; c < channels; ++c) {
            result[c * pixels + i] = static_cast<std::byte>(image.pixels[i * channels + c]);
        }
    }
    return result;
}

}  // namespace

ImageRows::ImageRows(const ImportOptions& options, std::vector<std::string> names, Read read)
    : options_(options), names_(std::move(names)), read_(std::move(read)) {
    THRESHER_CHECK_AS(UsageError, options.size >= 0 && options.size <= 8192,
                      "--size is {}; allowed are 1 to 8192 pixels", options.size);
    const std::int64_t found_channels = channels();
    std::string first_reason;
    for (const std::string& name : names_) {
        const DecodedImage decoded = decode_row(options, read_, name, {found_channels, 0, 0});
        if (decoded.reason.empty()) {
            shape_ = {found_channels, options.size > 0 ? options.size : decoded.height,
                      options.size > 0 ? options.size : decoded.width};
            return;
        }
        if (first_reason.empty()) first_reason = name + ": " + decoded.reason;
    }
    fail<FileError>("{}: none of {} images can be decoded; the first: {}", options.source,
                    names_.size(), first_reason);
}

/// 1 where all images are grey, 3 otherwise; files that cannot be decoded have no say.
std::int64_t ImageRows::channels() const {
    if (options_.colour != ColourMode::as_is) return options_.colour == ColourMode::grey ? 1 : 3;
    for (const std::string& name : names_) {
        try {
            if (!is_grey(read_(name))) return 3;
        } catch (const FileError&) {
            continue;  // decoding it reports it
        }
    }
    return 1;
}

DecodedImage decode_row(const ImportOptions& options, const ImageRows::Read& read,
                        const std::string& name, const std::vector<std::int64_t>& shape) {
    DecodedImage decoded;
    try {
        const std::string file = read(name);
        if (options.resize == Resize::letter_box && options.size > 0) {
            decoded.inputs.resize(static_cast<std::size_t>(shape[0] * options.size * options.size));
            const ImageSize whole =
                decode_letter_boxed(file, shape[0], options.size, decoded.inputs);
            decoded.width = whole.width;
            decoded.height = whole.height;
            return decoded;
        }
        Image image = decode_image(file, shape[0]);
        decoded.width = image.width;
        decoded.height = image.height;
        if (options.size > 0) image = resized(image, options.size, options.resize);
        if (shape[1] > 0 && (image.height != shape[1] || image.width != shape[2])) {
            decoded.reason = fmt::format("{} x {} pixels, the first image has {} x {}; give --size",
                                         image.width, image.height, shape[2], shape[1]);
        } else {
            decoded.inputs = planes(image);
        }
    } catch (const std::exception& error) {
        decoded.inputs.clear();
        decoded.reason = error.what();
    }
    return decoded;
}

void ImageRows::for_each(const Body& body) const {
    const auto alone = make_local_collective();
    Collective& ranks = options_.ranks != nullptr ? *options_.ranks : *alone;
    // Few enough for the memory of the root, which has all of them.
    const auto each = static_cast<std::size_t>(ranks.size());
    const std::size_t row_bytes =
        shape_.size() == 3 ? static_cast<std::size_t>(shape_[0] * shape_[1] * shape_[2]) : 1;
    const std::size_t at_once = std::clamp(kBytesAtOnce / std::max<std::size_t>(1, row_bytes), each,
                                           std::max(kFilesAtOnce, 8 * each));
    const auto decode = [&](const std::string& name, const std::vector<std::int64_t>& shape) {
        return decode_row(options_, read_, name, shape);
    };
    for (std::size_t begin = 0; begin < names_.size(); begin += at_once) {
        const std::size_t count = std::min(at_once, names_.size() - begin);
        const auto images =
            decode_over_ranks(ranks, std::span(names_).subspan(begin, count), shape_, decode);
        for (std::size_t i = 0; i < count; ++i) body(begin + i, images[i]);
    }
}

}  // namespace thresher::io
