#pragma once

// JPEG files made by the tests.

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

// jpeglib.h needs <cstdio> before it.
#include <jpeglib.h>

namespace thresher::test {

struct JpegPicture {
    unsigned width = 8, height = 8;
    J_COLOR_SPACE space = JCS_GRAYSCALE;
    /// One pixel, for all of them; or all of them.
    std::vector<unsigned char> pixels;
    std::string exif = {};      ///< what an EXIF marker holds
    bool adobe_marker = false;  ///< of CMYK: says that what is stored is what the inks leave

    std::string file() const {
        jpeg_compress_struct info{};
        jpeg_error_mgr errors{};
        info.err = jpeg_std_error(&errors);
        jpeg_create_compress(&info);
        unsigned char* memory = nullptr;
        unsigned long size = 0;
        jpeg_mem_dest(&info, &memory, &size);
        info.image_width = width;
        info.image_height = height;
        info.input_components = space == JCS_GRAYSCALE ? 1 : space == JCS_RGB ? 3 : 4;
        info.in_color_space = space;
        jpeg_set_defaults(&info);
        jpeg_set_quality(&info, 95, TRUE);
        if (space == JCS_CMYK) info.write_Adobe_marker = adobe_marker ? TRUE : FALSE;
        jpeg_start_compress(&info, TRUE);
        if (!exif.empty()) {
            jpeg_write_marker(&info, JPEG_APP0 + 1,
                              reinterpret_cast<const unsigned char*>(exif.data()),
                              static_cast<unsigned>(exif.size()));
        }
        const auto samples = static_cast<std::size_t>(info.input_components) * width;
        std::vector<unsigned char> line(samples);
        while (info.next_scanline < height) {
            for (std::size_t i = 0; i < samples; ++i) {
                line[i] = pixels[(info.next_scanline * samples + i) % pixels.size()];
            }
            JSAMPROW row = line.data();
            jpeg_write_scanlines(&info, &row, 1);
        }
        jpeg_finish_compress(&info);
        std::string bytes(reinterpret_cast<char*>(memory), size);
        jpeg_destroy_compress(&info);
        free(memory);
        return bytes;
    }
};

/// A grey JPEG of one value.
inline std::string jpeg_of(unsigned char value, unsigned width, unsigned height) {
    return JpegPicture{width, height, JCS_GRAYSCALE, {value}}.file();
}

inline std::string rgb_jpeg_of(std::vector<unsigned char> pixel, unsigned width, unsigned height) {
    return JpegPicture{width, height, JCS_RGB, std::move(pixel)}.file();
}

}  // namespace thresher::test
