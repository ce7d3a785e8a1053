// bench_letter_box --images FOLDER [--size S] [--repeats R]
//
// Processor seconds to decode all JPEG files of a folder, as libjpeg does into RGB, and decoded and
// letter-boxed by us, one thread, interleaved, the best of R each; one JSON line.

#include <fmt/format.h>

#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

// jpeglib.h needs <cstdio> before it.
#include <jpeglib.h>

#include "io/atomic_file.hpp"
#include "io/importers/image_codec.hpp"
#include "tests/bench/bench.hpp"

using namespace thresher;

namespace {

/// A file to RGB, rows into one buffer that is used again.
void decode_bare(const std::string& file, std::vector<unsigned char>& pixels) {
    jpeg_decompress_struct info{};
    jpeg_error_mgr errors{};
    info.err = jpeg_std_error(&errors);
    jpeg_create_decompress(&info);
    jpeg_mem_src(&info, reinterpret_cast<const unsigned char*>(file.data()), file.size());
    jpeg_read_header(&info, TRUE);
    info.out_color_space = JCS_RGB;
    jpeg_start_decompress(&info);
    const std::size_t stride = std::size_t{3} * info.output_width;
    if (pixels.size() < stride * info.output_height) pixels.resize(stride * info.output_height);
    while (info.output_scanline < info.output_height) {
        JSAMPROW row = pixels.data() + info.output_scanline * stride;
        jpeg_read_scanlines(&info, &row, 1);
    }
    jpeg_finish_decompress(&info);
    jpeg_destroy_decompress(&info);
}

}  // namespace

int main(int argc, char** argv) {
    const std::string folder = bench::option(argc, argv, "--images", ".");
    const std::int64_t size = std::stoll(bench::option(argc, argv, "--size", "300"));
    const int repeats = std::stoi(bench::option(argc, argv, "--repeats", "5"));
    std::vector<std::string> files;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        if (entry.path().extension() == ".jpg") files.push_back(io::read_file(entry.path()));
    }
    THRESHER_CHECK_AS(FileError, !files.empty(), "{}: holds no .jpg file", folder);
    std::vector<unsigned char> pixels;
    std::vector<std::byte> planes(static_cast<std::size_t>(3 * size * size));
    bench::Best bare, ours;
    for (int repeat = 0; repeat < repeats; ++repeat) {
        bare.add(bench::cpu_seconds([&] {
            for (const std::string& file : files) decode_bare(file, pixels);
        }));
        ours.add(bench::cpu_seconds([&] {
            for (const std::string& file : files) {
                static_cast<void>(io::decode_letter_boxed(file, 3, size, planes));
            }
        }));
    }
    const nlohmann::json line{{"benchmark", "letter_box"},
                              {"images", files.size()},
                              {"size", size},
                              {"libjpeg_decode_s", bare.value},
                              {"thresher_decode_letter_box_s", ours.value}};
    fmt::print("{}\n", line.dump());
}
