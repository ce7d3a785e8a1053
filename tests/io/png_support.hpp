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
