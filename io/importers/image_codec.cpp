#include "io/importers/image_codec.hpp"

#include <png.h>

#include <algorithm>
#include <csetjmp>
#include <cstdio>
#include <span>
#include <vector>

// jpeglib.h needs <cstdio> before it.
#include <jerror.h>
#include <jpeglib.h>

#include "src/base/check.hpp"

namespace thresher::io {

namespace {

constexpr std::int64_t kMostPixels = std::int64_t{1} << 26;
constexpr std::int64_t kMostSide = 65500;

void check_size(std::int64_t width, std::int64_t height) {
    THRESHER_CHECK_AS(FileError,
                      width > 0 && height > 0 && width <= kMostSide && height <= kMostSide &&
                          width * height <= kMostPixels,
                      "the header says {} x {} pixels, at most {} are decoded", width, height,
                      kMostPixels);
}

bool is_jpeg(std::string_view file) { return file.starts_with("\xFF\xD8\xFF"); }
bool is_png(std::string_view file) { return file.starts_with("\x89PNG\r\n\x1a\n"); }

/// libjpeg's error handling: it leaves by longjmp, so no C++ object with a destructor lives in
/// between.
struct JpegErrors {
    jpeg_error_mgr base;
    std::jmp_buf leave;
    char message[JMSG_LENGTH_MAX];
    bool truncated;
};

void leave_jpeg(j_common_ptr info) {
    auto* errors = reinterpret_cast<JpegErrors*>(info->err);
    info->err->format_message(info, errors->message);
    std::longjmp(errors->leave, 1);
}

void note_warning(j_common_ptr info, int level) {
    if (level >= 0) return;
    auto* errors = reinterpret_cast<JpegErrors*>(info->err);
    if (info->err->msg_code == JWRN_JPEG_EOF || info->err->msg_code == JWRN_HIT_MARKER) {
        info->err->format_message(info, errors->message);
        errors->truncated = true;
    }
}

/// What four inks leave of white light. Adobe's files hold what is left instead of the inks.
void remove_inks(std::span<const unsigned char> inks, std::int64_t channels, bool inverted,
                 unsigned char* pixels) {
    for (std::size_t i = 0; i < inks.size(); i += 4) {
        const auto left = [&](std::size_t ink) {
            return inverted ? inks[i + ink] : 255 - inks[i + ink];
        };
        int light[3];
        for (std::size_t c = 0; c < 3; ++c) light[c] = (left(c) * left(3) + 127) / 255;
        if (channels == 1) {  // by the weights of JPEG's own luminance
            const int grey = (299 * light[0] + 587 * light[1] + 114 * light[2] + 500) / 1000;
            *pixels++ = static_cast<unsigned char>(grey);
            continue;
        }
        for (const int value : light) *pixels++ = static_cast<unsigned char>(value);
    }
}

class JpegDecoder {
  public:
    explicit JpegDecoder(std::string_view file) : file_(file) {
        info_.err = jpeg_std_error(&errors_.base);
        errors_.base.error_exit = leave_jpeg;
        errors_.base.emit_message = note_warning;
        errors_.truncated = false;
        jpeg_create_decompress(&info_);
    }
    ~JpegDecoder() { jpeg_destroy_decompress(&info_); }
    JpegDecoder(const JpegDecoder&) = delete;
    JpegDecoder& operator=(const JpegDecoder&) = delete;

    void read_header() {
        if (!try_header()) fail<FileError>("the JPEG cannot be decoded: {}", errors_.message);
        check_size(info_.image_width, info_.image_height);
    }

    bool grey() const { return info_.num_components == 1; }

    ReducedImage decode(std::int64_t channels, std::int64_t side, const PixelRoom& room) {
        read_header();
        const std::int64_t longest = std::max(info_.image_width, info_.image_height);
        std::int64_t reduction = 1;
        while (reduction < 8 && longest >= 2 * reduction * side) reduction *= 2;
        const bool inks = info_.jpeg_color_space == JCS_CMYK || info_.jpeg_color_space == JCS_YCCK;
        info_.out_color_space = inks ? JCS_CMYK : channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
        info_.scale_num = 1;
        info_.scale_denom = static_cast<unsigned>(reduction);
        // Smoothing colours to the full size is for nothing where the image is shrunk afterwards.
        info_.do_fancy_upsampling = longest * 2 < 3 * side * reduction ? TRUE : FALSE;
        jpeg_calc_output_dimensions(&info_);
        const ReducedImage reduced{info_.output_width, info_.output_height, info_.image_width,
                                   info_.image_height, reduction};
        unsigned char* pixels = room(reduced.width, reduced.height);
        if (inks) {
            std::vector<unsigned char> held(
                static_cast<std::size_t>(4 * reduced.width * reduced.height));
            read_pixels(held.data(), 4);
            remove_inks(held, channels, info_.saw_Adobe_marker != 0, pixels);
        } else {
            read_pixels(pixels, channels);
        }
        return reduced;
    }

  private:
    bool try_header() {
        if (setjmp(errors_.leave) != 0) return false;
        jpeg_mem_src(&info_, reinterpret_cast<const unsigned char*>(file_.data()), file_.size());
        jpeg_read_header(&info_, TRUE);
        return true;
    }

    void read_pixels(unsigned char* pixels, std::int64_t channels) {
        if (!try_pixels(pixels, channels) || errors_.truncated) {
            fail<FileError>("the JPEG cannot be decoded: {}", errors_.message);
        }
    }

    bool try_pixels(unsigned char* pixels, std::int64_t channels) {
        if (setjmp(errors_.leave) != 0) return false;
        jpeg_start_decompress(&info_);
        const std::size_t stride =
            std::size_t{info_.output_width} * static_cast<std::size_t>(channels);
        while (info_.output_scanline < info_.output_height) {
            JSAMPROW rows[4];
            for (std::size_t i = 0; i < 4; ++i) {
                rows[i] = pixels + std::min<std::size_t>(info_.output_scanline + i,
                                                         info_.output_height - 1) *
                                       stride;
            }
            jpeg_read_scanlines(&info_, rows, 4);
        }
        jpeg_finish_decompress(&info_);
        return true;
    }

    std::string_view file_;
    jpeg_decompress_struct info_{};
    JpegErrors errors_{};
};

class PngDecoder {
  public:
    explicit PngDecoder(std::string_view file) {
        image_.version = PNG_IMAGE_VERSION;
        if (png_image_begin_read_from_memory(&image_, file.data(), file.size()) == 0) refuse();
        check_size(image_.width, image_.height);
        // Else 16 bits a sample are taken for linear light, which no camera or tool means.
        image_.flags |= PNG_IMAGE_FLAG_16BIT_sRGB;
    }
    ~PngDecoder() { png_image_free(&image_); }
    PngDecoder(const PngDecoder&) = delete;
    PngDecoder& operator=(const PngDecoder&) = delete;

    bool grey() const { return (image_.format & PNG_FORMAT_FLAG_COLOR) == 0; }

    ReducedImage decode(std::int64_t channels, const PixelRoom& room) {
        const std::int64_t width = image_.width, height = image_.height;
        unsigned char* pixels = room(width, height);
        image_.format = channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB;
        const png_color white{255, 255, 255};
        if (png_image_finish_read(&image_, &white, pixels, 0, nullptr) == 0) refuse();
        return {width, height, width, height, 1};
    }

  private:
    [[noreturn]] void refuse() {
        const std::string reason = image_.message;
        png_image_free(&image_);
        fail<FileError>("the PNG cannot be decoded: {}", reason);
    }

    png_image image_{};
};

[[noreturn]] void fail_unknown(std::string_view file) {
    fail<FileError>("{}", file.empty() ? "the file is empty" : "the file is neither JPEG nor PNG");
}

}  // namespace

Image decode_image(std::string_view file, std::int64_t channels) {
    Image image{0, 0, channels, {}};
    const ReducedImage decoded =
        decode_reduced(file, channels, kMostSide, [&](std::int64_t width, std::int64_t height) {
            image.pixels.resize(static_cast<std::size_t>(width * height * channels));
            return image.pixels.data();
        });
    image.width = decoded.width;
    image.height = decoded.height;
    return image;
}

ReducedImage decode_reduced(std::string_view file, std::int64_t channels, std::int64_t side,
                            const PixelRoom& room) {
    if (is_jpeg(file)) return JpegDecoder(file).decode(channels, side, room);
    if (is_png(file)) return PngDecoder(file).decode(channels, room);
    fail_unknown(file);
}

bool is_grey(std::string_view file) {
    if (is_jpeg(file)) {
        JpegDecoder decoder(file);
        decoder.read_header();
        return decoder.grey();
    }
    if (is_png(file)) return PngDecoder(file).grey();
    fail_unknown(file);
}

}  // namespace thresher::io
