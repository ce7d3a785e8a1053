#include "io/importers/image_codec.hpp"
#include "io/importers/importers.hpp"
#include "tests/io/jpeg_support.hpp"
#include "tests/io/png_support.hpp"
#include "tests/io/support.hpp"
#include "tests/support/catch.hpp"

using namespace thresher;
using namespace thresher::io;
using namespace thresher::test;

TEST_CASE("a folder a class becomes an image pool, undecodable files set apart by name") {
    const TemporaryDirectory directory;
    const std::string source = directory / "photos";
    for (const char* folder : {"/cat", "/dog"})
        std::filesystem::create_directories(source + folder);
    write_file(source + "/dog/a.png", png_of({1, 2, 3, 4, 5, 6}, 2, 1, true), Overwrite::no);
    write_file(source + "/cat/b.PNG", png_of({9, 8, 7, 6, 5, 4}, 2, 1, true), Overwrite::no);
    write_file(source + "/cat/c.jpg", jpeg_of(100, 2, 1), Overwrite::no);
    write_file(source + "/cat/notes.txt", "not an image", Overwrite::no);
    const std::string whole = jpeg_of(50, 64, 64);
    write_file(source + "/cat/cut.jpeg", whole.substr(0, whole.size() - 30), Overwrite::no);
    write_file(source + "/dog/empty.jpg", "", Overwrite::no);
    write_file(source + "/dog/wide.png", png_of({1, 2, 3}, 3, 1, false), Overwrite::no);
    ImportOptions options;
    options.source = source;
    options.output = directory / "pool.h5";
    CHECK(contains(message_of([&] { import_pool("images", options, {}); }), "cat/cut.jpeg"));
    options.max_bad = BadLimit::parse("3");
    const ImportReport report = import_pool("images", options, {});
    CHECK(report.pool.rows == 3);
    CHECK(report.pool.input_shape == std::vector<std::int64_t>{3, 1, 2});
    CHECK(report.pool.class_names == std::vector<std::string>{"cat", "dog"});
    REQUIRE(report.quarantined.size() == 3);
    CHECK(contains(report.quarantined[0].reason, "cat/cut.jpeg: the JPEG cannot be decoded: "));
    CHECK(contains(report.quarantined[1].reason, "dog/empty.jpg: the file is empty"));
    CHECK(contains(report.quarantined[2].reason,
                   "dog/wide.png: 3 x 1 pixels, the first image has 2 x 1"));
    const PoolFile pool = open_pool(options.output);
    CHECK(pool.read_names({0, 3}) ==
          std::vector<std::string>{"cat/b.PNG", "cat/c.jpg", "dog/a.png"});
    std::vector<std::byte> inputs(18);
    pool.read_inputs({0, 3}, inputs);
    const auto value = [&](std::size_t i) { return std::to_integer<int>(inputs[i]); };
    CHECK((value(0) == 9 && value(1) == 6 && value(2) == 8 && value(5) == 4));  // planes
    CHECK(value(6) == Approx(100).margin(2));
    CHECK((value(12) == 1 && value(13) == 4));
}

TEST_CASE("flat and unlabelled grey images stay grey, and are resized when asked") {
    const TemporaryDirectory directory;
    const std::string source = directory / "scans";
    std::filesystem::create_directories(source);
    write_file(source + "/1.png", png_of(std::vector<unsigned char>(12, 77), 4, 3, false),
               Overwrite::no);
    write_file(source + "/2.jpg", jpeg_of(30, 9, 5), Overwrite::no);
    ImportOptions options;
    options.source = source;
    options.output = directory / "pool.h5";
    options.size = 2;
    const ImportReport report = import_pool("images", options, {});
    CHECK(report.pool.input_shape == std::vector<std::int64_t>{1, 2, 2});
    CHECK_FALSE(report.pool.has_targets);
    std::vector<std::byte> inputs(8);
    open_pool(options.output).read_inputs({0, 2}, inputs);
    for (std::size_t i = 0; i < 4; ++i) {
        CHECK(std::to_integer<int>(inputs[i]) == 77);
        CHECK(std::to_integer<int>(inputs[4 + i]) == Approx(30).margin(2));
    }
    options.colour = ColourMode::rgb;
    options.overwrite = Overwrite::yes;
    options.class_names = {"cat", "dog"};
    CHECK(import_pool("images", options, {}).pool.input_shape[0] == 3);
    const PoolInfo unlabelled = open_pool(options.output).info();
    CHECK_FALSE(unlabelled.has_targets);
    CHECK(unlabelled.classes == 2);
    CHECK(unlabelled.class_names == options.class_names);
}

TEST_CASE("a header that promises too many pixels is refused before memory is taken") {
    std::string bytes = jpeg_of(1, 16, 16);
    const std::size_t frame = bytes.find("\xFF\xC0");
    REQUIRE(frame != std::string::npos);
    for (std::size_t i = 5; i < 9; ++i) bytes[frame + i] = '\xFF';  // 65535 x 65535
    const std::string message = message_of([&] { decode_image(bytes, 1); });
    CHECK((contains(message, "the header says") || contains(message, "Maximum supported image")));
    CHECK(contains(message_of([&] { decode_image("GIF89a", 3); }), "neither JPEG nor PNG"));
}

TEST_CASE("inks and 16 bits become what they look like, and EXIF turns nothing") {
    const auto looks = [](const std::string& file, std::int64_t channels,
                          const std::vector<int>& pixel) {
        const Image image = decode_image(file, channels);
        for (std::size_t i = 0; i < image.pixels.size(); ++i) {
            CHECK(int{image.pixels[i]} == Approx(pixel[i % pixel.size()]).margin(2));
        }
        return image;
    };
    // Inks 1 - r, 1 - g, 1 - b and half of the light taken by black: (1 - c)(1 - k).
    looks(JpegPicture{8, 8, JCS_CMYK, {55, 155, 205, 0}}.file(), 3, {200, 100, 50});
    looks(JpegPicture{8, 8, JCS_CMYK, {55, 155, 205, 128}}.file(), 3, {100, 50, 25});
    looks(JpegPicture{8, 8, JCS_CMYK, {200, 100, 50, 255}, {}, true}.file(), 3, {200, 100, 50});
    looks(JpegPicture{8, 8, JCS_CMYK, {55, 155, 205, 0}}.file(), 1, {124});  // .299 .587 .114
    looks(png16_of({0x0000, 0x8080, 0xFFFF, 0x4040}, 4, 1), 1, {0, 128, 255, 64});
    looks(png16_of({0x2020}, 1, 1), 3, {32, 32, 32});

    using namespace std::string_literals;
    // Orientation 6: a viewer turns it by a quarter.
    const std::string turned =
        "Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"s;
    const Image image = looks(JpegPicture{8, 4, JCS_GRAYSCALE, {70}, turned}.file(), 1, {70});
    CHECK((image.width == 8 && image.height == 4));
}

TEST_CASE("resizing averages what it shrinks and cuts the centre") {
    // Columns 0 0 100 200 100 0 0 ... of equal rows: the centre square of a 6 x 2 image.
    const Image image{6, 2, 1, {0, 0, 100, 200, 0, 0, 0, 0, 100, 200, 0, 0}};
    const Image cropped = resized(image, 2, Resize::crop);
    CHECK(cropped.pixels == std::vector<unsigned char>{100, 200, 100, 200});
    const Image flat =
        resized(Image{4, 4, 3, std::vector<unsigned char>(48, 9)}, 3, Resize::stretch);
    CHECK(flat.pixels == std::vector<unsigned char>(27, 9));
    // Shrinking 4 to 2: the triangle is 4 wide, centred at 0.5 and 2.5, weights 1 3 3 1 cut at the
    // edge.
    const Image ramp{4, 1, 1, {0, 70, 140, 210}};
    const Image half = resized(ramp, 2, Resize::stretch);
    CHECK(half.pixels[0] == Approx((3 * 0 + 3 * 70 + 1 * 140) / 7.0).margin(0.51));
    CHECK(half.pixels[1] == Approx((1 * 70 + 3 * 140 + 3 * 210) / 7.0).margin(0.51));
}

TEST_CASE("folders that mix images and classes, or hold none, are refused") {
    const TemporaryDirectory directory;
    ImportOptions options;
    options.source = directory / "source";
    options.output = directory / "pool.h5";
    CHECK(contains(message_of([&] { import_pool("images", options, {}); }), "is no directory"));
    std::filesystem::create_directories(options.source + "/cat");
    CHECK(contains(message_of([&] { import_pool("images", options, {}); }), "holds no .jpg"));
    write_file(options.source + "/cat/a.jpg", jpeg_of(1, 8, 8), Overwrite::no);
    write_file(options.source + "/b.jpg", jpeg_of(1, 8, 8), Overwrite::no);
    CHECK(
        contains(message_of([&] { import_pool("images", options, {}); }), "images beside folders"));
}
