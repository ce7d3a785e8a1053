// Codes by hand: shifts of centres in sides of the anchor, logarithms of the ratios of sides.

#include "src/detection/box_code.hpp"

#include <cmath>
#include <random>

#include "tests/support/catch.hpp"

using namespace thresher;

namespace {

using Four = std::array<float, 4>;

Four encode(const Four& anchor, const Four& box, const BoxCode& weights) {
    Four code{};
    encode_box(anchor, box, weights, code);
    return code;
}

Four decode(const Four& anchor, const Four& code, const BoxCode& weights) {
    Four box{};
    decode_box(anchor, code, weights, box);
    return box;
}

void check_near(const Four& found, const Four& expected, double tolerance) {
    CAPTURE(found, expected);
    for (std::size_t i = 0; i < 4; ++i) CHECK(std::abs(found[i] - expected[i]) <= tolerance);
}

}  // namespace

TEST_CASE("a box has code 0 from itself, and one that is shifted the shift in sides") {
    const Four anchor{10, 20, 30, 60};  // 20 wide, 40 high, about (20, 40)
    CHECK(encode(anchor, anchor, kSsdCode) == Four{0, 0, 0, 0});
    CHECK(encode(anchor, {15, 10, 35, 50}, kRetinanetCode) == Four{0.25F, -0.25F, 0, 0});
    CHECK(encode(anchor, {15, 10, 35, 50}, kSsdCode) == Four{2.5F, -2.5F, 0, 0});
    CHECK(decode(anchor, {2.5F, -2.5F, 0, 0}, kSsdCode) == Four{15, 10, 35, 50});
}

TEST_CASE("ratios of sides are logarithms") {
    const Four anchor{10, 20, 30, 60};
    // 40 wide and 10 high, about the same centre: ratios 2 and 1 / 4.
    const auto two = static_cast<float>(std::log(2.0));
    check_near(encode(anchor, {0, 35, 40, 45}, kRetinanetCode), {0, 0, two, -2 * two}, 1e-6);
    check_near(encode(anchor, {0, 35, 40, 45}, kSsdCode), {0, 0, 5 * two, -10 * two}, 1e-6);
    check_near(decode(anchor, {0, 0, 5 * two, -10 * two}, kSsdCode), {0, 35, 40, 45}, 1e-5);
}

TEST_CASE("a ratio of sides is 1000 / 16 at most") {
    // 20 x 62.5 = 1250 wide about x = 20; the height stays.
    check_near(decode({10, 20, 30, 60}, {0, 0, 50, 0}, kRetinanetCode), {-605, 20, 645, 60}, 1e-3);
    check_near(decode({10, 20, 30, 60}, {0, 0, 50, 0}, kSsdCode), {-605, 20, 645, 60}, 1e-3);
}

TEST_CASE("decoding undoes encoding") {
    std::mt19937 random(5);
    std::uniform_real_distribution<float> place(0, 300), side(1, 200);
    const auto draw = [&] {
        const float x = place(random), y = place(random);
        return Four{x, y, x + side(random), y + side(random)};
    };
    for (int i = 0; i < 200; ++i) {
        const Four anchor = draw(), box = draw();
        for (const BoxCode& weights : {kSsdCode, kRetinanetCode}) {
            // The ratio 1 / 200 to 200 is coded to float precision, and beyond 62.5 not kept.
            if (box[2] - box[0] > 62 * (anchor[2] - anchor[0])) continue;
            if (box[3] - box[1] > 62 * (anchor[3] - anchor[1])) continue;
            check_near(decode(anchor, encode(anchor, box, weights), weights), box, 1e-3);
        }
    }
}
