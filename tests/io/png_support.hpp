#pragma once

// PNG files, and the tar archives that hold them, made by the tests.

#include <fmt/format.h>
#include <png.h>

#include <string>
#include <utility>
#include <vector>

namespace thresher::test {

inline std::string png_of(const std::vector<unsigned char>& pixels, unsigned width, unsigned height,
                          bool rgb) {
    png_image image{};
    image.version = PNG_IMAGE_VERSION;
    image.width = width;
    image.height = height;
    image.format = rgb ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY;
    png_alloc_size_t size = 0;
    png_image_write_to_memory(&image, nullptr, &size, 0, pixels.data(), 0, nullptr);
    std::string bytes(size, '\0');
    png_image_write_to_memory(&image, bytes.data(), &size, 0, pixels.data(), 0, nullptr);
    bytes.resize(size);
    return bytes;
}

/// A grey PNG of 16 bits a sample that says nothing of its gamma.
inline std::string png16_of(const std::vector<unsigned>& pixels, unsigned width, unsigned height) {
    std::string bytes;
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
    png_infop info = png_create_info_struct(png);
    png_set_write_fn(
        png, &bytes,
        [](png_structp into, png_bytep data, png_size_t size) {
            static_cast<std::string*>(png_get_io_ptr(into))
                ->append(reinterpret_cast<const char*>(data), size);
        },
        nullptr);
    png_set_IHDR(png, info, width, height, 16, PNG_COLOR_TYPE_GRAY, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    std::vector<unsigned char> line;
    for (std::size_t y = 0; y < height; ++y) {
        line.clear();
        for (std::size_t x = 0; x < width; ++x) {
            line.push_back(static_cast<unsigned char>(pixels[y * width + x] >> 8));
            line.push_back(static_cast<unsigned char>(pixels[y * width + x] & 0xFF));
        }
        png_write_row(png, line.data());
    }
    png_write_end(png, nullptr);
    png_destroy_write_struct(&png, &info);
    return bytes;
}

inline std::string tar_of(const std::vector<std::pair<std::string, std::string>>& files) {
    std::string archive;
    for (const auto& [name, content] : files) {
        std::string header(512, '\0');
        header.replace(0, name.size(), name);
        header.replace(124, 11, fmt::format("{:011o}", content.size()));
        header[156] = '0';
        header.replace(257, 5, "ustar");
        archive += header + content + std::string((512 - content.size() % 512) % 512, '\0');
    }
    return archive + std::string(1024, '\0');
}

}  // namespace thresher::test
