#include "io/importers/image_codec.hpp"

#include <png.h>

#include <csetjmp>
#include <cstdio>

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

    Image decode(std::int64_t channels) {
        read_header();
        Image image{static_cast<std::int64_t>(info_.image_width),
                    static_cast<std::int64_t>(info_.image_height),
                    channels,
                    {}};
        image.pixels.resize(static_cast<std::size_t>(image.width * image.height * channels));
        if (!try_pixels(image.pixels.data(), channels) || errors_.truncated) {
            fail<FileError>("the JPEG cannot be decoded: {}", errors_.message);
        }
        return image;
    }

  private:
    bool try_header() {
        if (setjmp(errors_.leave) != 0) return false;
        jpeg_mem_src(&info_, reinterpret_cast<const unsigned char*>(file_.data()), file_.size());
        jpeg_read_header(&info_, TRUE);
        return true;
    }

    bool try_pixels(unsigned char* pixels, std::int64_t channels) {
        if (setjmp(errors_.leave) != 0) return false;
        info_.out_color_space = channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
        jpeg_start_decompress(&info_);
        const std::size_t stride =
            std::size_t{info_.output_width} * static_cast<std::size_t>(channels);
        while (info_.output_scanline < info_.output_height) {
            JSAMPROW row = pixels + info_.output_scanline * stride;
            jpeg_read_scanlines(&info_, &row, 1);
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
    }
    ~PngDecoder() { png_image_free(&image_); }
    PngDecoder(const PngDecoder&) = delete;
    PngDecoder& operator=(const PngDecoder&) = delete;

    bool grey() const { return (image_.format & PNG_FORMAT_FLAG_COLOR) == 0; }

    Image decode(std::int64_t channels) {
        Image image{image_.width, image_.height, channels, {}};
        image.pixels.resize(static_cast<std::size_t>(image.width * image.height * channels));
        image_.format = channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB;
        const png_color white{255, 255, 255};
        if (png_image_finish_read(&image_, &white, image.pixels.data(), 0, nullptr) == 0) refuse();
        return image;
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
    if (is_jpeg(file)) return JpegDecoder(file).decode(channels);
    if (is_png(file)) return PngDecoder(file).decode(channels);
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
