#include <cmath>

#include "io/importers/image_codec.hpp"
#include "src/pool/letter_box.hpp"
#include "src/random/philox.hpp"
#include "tests/io/jpeg_support.hpp"
#include "tests/io/png_support.hpp"
#include "tests/io/support.hpp"
#include "tests/support/catch.hpp"

using namespace thresher;
using namespace thresher::io;
using namespace thresher::test;

namespace {

/// Letter-boxed planes as numbers.
struct Boxed {
    Boxed(const std::string& file, std::int64_t channels, std::int64_t size)
        : side(static_cast<std::size_t>(size)),
          planes(static_cast<std::size_t>(channels * size * size), std::byte{1}),
          whole(decode_letter_boxed(file, channels, size, planes)) {}

    int at(std::size_t c, std::size_t y, std::size_t x) const {
        return std::to_integer<int>(planes[(c * side + y) * side + x]);
    }

    std::size_t side;
    std::vector<std::byte> planes;
    ImageSize whole;
};

std::vector<unsigned char> noise(std::size_t count) {
    const KeyedRandom random(3, Stream::synthetic, 0);
    std::vector<unsigned char> values(count);
    for (std::size_t i = 0; i < count; ++i) {
        values[i] = static_cast<unsigned char>(random.bits(static_cast<std::int64_t>(i)) & 0xFFU);
    }
    return values;
}

}  // namespace

TEST_CASE("a letter box keeps the aspect and starts at the top left") {
    const LetterBox wide = LetterBox::of(500, 375, 300);
    CHECK((wide.width == 300 && wide.height == 225));
    CHECK((wide.scale_x == Approx(0.6) && wide.scale_y == Approx(0.6)));
    const LetterBox tall = LetterBox::of(333, 500, 300);  // 199.8 wide
    CHECK((tall.width == 200 && tall.height == 300));
    CHECK(tall.scale_x == Approx(200.0 / 333.0));
    const LetterBox small = LetterBox::of(10, 5, 300);
    CHECK((small.width == 300 && small.height == 150 && small.scale_x == 30.0));
    const LetterBox line = LetterBox::of(10000, 1, 300);
    CHECK((line.width == 300 && line.height == 1 && line.scale_y == 1.0));
    const LetterBox as_is = LetterBox::of(7, 9, 0);
    CHECK((as_is.width == 7 && as_is.height == 9 && as_is.scale_x == 1.0));
}

TEST_CASE("an image of one colour stays that colour, and the rest of its square is grey") {
    // Sizes on either side of every reduction of JPEG, of the halving, and of odd sides.
    for (const auto& [width, height] :
         {std::pair(40U, 20U), std::pair(13U, 40U), std::pair(5U, 4U), std::pair(81U, 80U),
          std::pair(999U, 3U), std::pair(320U, 161U), std::pair(1U, 1U)}) {
        const auto pixel = std::vector<unsigned char>{250, 3, 90};
        std::vector<unsigned char> pixels;
        for (unsigned i = 0; i < width * height; ++i) {
            pixels.insert(pixels.end(), pixel.begin(), pixel.end());
        }
        const std::vector<std::pair<std::string, int>> files{
            {png_of(pixels, width, height, true), 0}, {rgb_jpeg_of(pixel, width, height), 3}};
        for (const auto& [file, margin] : files) {
            CAPTURE(width, height, margin);
            const Boxed boxed(file, 3, 10);
            CHECK((boxed.whole.width == width && boxed.whole.height == height));
            const LetterBox box = LetterBox::of(width, height, 10);
            int wrong = 0;
            for (std::size_t c = 0; c < 3; ++c) {
                for (std::size_t y = 0; y < 10; ++y) {
                    for (std::size_t x = 0; x < 10; ++x) {
                        const bool inside =
                            std::cmp_less(y, box.height) && std::cmp_less(x, box.width);
                        wrong += inside ? std::abs(boxed.at(c, y, x) - pixel[c]) > margin
                                        : boxed.at(c, y, x) != kLetterBoxGrey;
                    }
                }
            }
            CHECK(wrong == 0);
            const Boxed grey(jpeg_of(77, width, height), 1, 10);
            CHECK(std::abs(grey.at(0, 0, 0) - 77) <= 1);
        }
    }
}

TEST_CASE("letter-boxing is the triangle filter") {
    // Shrinking 4 to 2: the triangle is 4 wide, centred at 0.5 and 2.5, weights 1 3 3 1 cut at the
    // edge.
    const Boxed half(png_of({0, 70, 140, 210}, 4, 1, false), 1, 2);
    CHECK(std::abs(half.at(0, 0, 0) - (3 * 0 + 3 * 70 + 1 * 140) / 7.0) <= 1.0);
    CHECK(std::abs(half.at(0, 0, 1) - (1 * 70 + 3 * 140 + 3 * 210) / 7.0) <= 1.0);
    // Growing 2 to 4: between the two samples at a quarter and three quarters.
    const Boxed twice(png_of({0, 100, 0, 100}, 2, 2, false), 1, 4);
    const std::vector<int> ramp{0, 25, 75, 100};
    for (std::size_t x = 0; x < 4; ++x) CHECK(std::abs(twice.at(0, 2, x) - ramp[x]) <= 1);

    // Against the filter in floating point, which rounds once; ours rounds twice. Square images, as
    // that filter has no letter box.
    for (const unsigned side : {17U, 30U, 64U, 100U}) {
        const auto pixels = noise(std::size_t{3} * side * side);
        const Boxed boxed(png_of(pixels, side, side, true), 3, 30);
        const Image expected = resized(Image{side, side, 3, pixels}, 30, Resize::stretch);
        double worst = 0.0;
        for (std::size_t i = 0; i < expected.pixels.size(); ++i) {
            worst =
                std::max(worst, std::abs(static_cast<double>(boxed.at(i % 3, i / 90, i / 3 % 30)) -
                                         expected.pixels[i]));
        }
        CAPTURE(side);
        CHECK(worst <= 2.0);
    }
}

TEST_CASE("a JPEG that is reduced while it is decoded shows the same") {
    // A slope in both directions, which no filter changes but at its edges.
    for (const unsigned side : {150U, 160U, 333U, 700U, 1500U}) {
        std::vector<unsigned char> pixels;
        for (unsigned y = 0; y < side; ++y) {
            for (unsigned x = 0; x < side; ++x) {
                pixels.push_back(
                    static_cast<unsigned char>(std::lround(120.0 * (x + y + 1) / side)));
            }
        }
        const Boxed boxed(JpegPicture{side, side, JCS_GRAYSCALE, pixels}.file(), 1, 80);
        const Boxed colours(JpegPicture{side, side, JCS_GRAYSCALE, pixels}.file(), 3, 80);
        double worst = 0.0;
        for (std::size_t y = 2; y < 78; ++y) {
            for (std::size_t x = 2; x < 78; ++x) {
                const double expected = 120.0 * (static_cast<double>(x + y) + 1.0) / 80.0;
                worst = std::max({worst, std::abs(boxed.at(0, y, x) - expected),
                                  std::abs(colours.at(1, y, x) - expected)});
            }
        }
        CAPTURE(side);
        CHECK(worst <= 3.0);
    }
}
