#include "io/importers/image_rows.hpp"

#include <algorithm>

#include "io/importers/image_codec.hpp"
#include "src/base/check.hpp"
#include "src/base/thread_team.hpp"

namespace thresher::io {

namespace {

constexpr std::size_t kFilesAtOnce = 256;

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
        const Decoded decoded = decode(name, found_channels);
        if (decoded.reason.empty()) {
            shape_ = decoded.shape;
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

ImageRows::Decoded ImageRows::decode(const std::string& name, std::int64_t channels) const {
    Decoded decoded;
    try {
        Image image = decode_image(read_(name), channels);
        if (options_.size > 0) image = resized(image, options_.size, options_.resize);
        decoded.shape = {channels, image.height, image.width};
        if (!shape_.empty() && decoded.shape != shape_) {
            decoded.reason = fmt::format("{} x {} pixels, the first image has {} x {}; give --size",
                                         image.width, image.height, shape_[2], shape_[1]);
        } else {
            decoded.inputs = planes(image);
        }
    } catch (const std::exception& error) {
        decoded.reason = error.what();
    }
    return decoded;
}

void ImageRows::for_each(const Body& body) const {
    std::vector<Decoded> decoded;
    for (std::size_t begin = 0; begin < names_.size(); begin += kFilesAtOnce) {
        const std::size_t count = std::min(kFilesAtOnce, names_.size() - begin);
        decoded.assign(count, {});
        parallel_for(static_cast<std::int64_t>(count), 4,
                     [&](std::int64_t first, std::int64_t last) {
                         for (auto i = static_cast<std::size_t>(first);
                              i < static_cast<std::size_t>(last); ++i) {
                             decoded[i] = decode(names_[begin + i], shape_[0]);
                         }
                     });
        for (std::size_t i = 0; i < count; ++i) {
            body(begin + i, decoded[i].inputs, decoded[i].reason);
        }
    }
}

}  // namespace thresher::io
