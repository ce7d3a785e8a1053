// Suppression against the rule written out, box by box.

#include "src/detection/nms.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include "src/base/thread_team.hpp"
#include "tests/support/catch.hpp"

using namespace thresher;

namespace {

struct Boxes {
    std::vector<float> corners, scores;
    std::vector<std::int64_t> groups;

    void add(float x0, float y0, float x1, float y1, float score, std::int64_t group = 0) {
        for (const float side : {x0, y0, x1, y1}) corners.push_back(side);
        scores.push_back(score);
        groups.push_back(group);
    }
    std::vector<std::int64_t> kept(double threshold) const {
        return batched_nms(corners, scores, groups, threshold);
    }
};

float overlap(const float* a, const float* b) {
    const float area_a = (a[2] - a[0]) * (a[3] - a[1]), area_b = (b[2] - b[0]) * (b[3] - b[1]);
    const float width = std::max(0.0F, std::min(a[2], b[2]) - std::max(a[0], b[0]));
    const float height = std::max(0.0F, std::min(a[3], b[3]) - std::max(a[1], b[1]));
    const float both = width * height;
    return both / (area_a + area_b - both);
}

std::vector<std::int64_t> brute_force(const Boxes& boxes, double threshold) {
    std::vector<std::int64_t> order(boxes.scores.size()), kept;
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
        return boxes.scores[static_cast<std::size_t>(a)] >
               boxes.scores[static_cast<std::size_t>(b)];
    });
    for (const std::int64_t i : order) {
        const auto at = static_cast<std::size_t>(i);
        const bool suppressed = std::any_of(kept.begin(), kept.end(), [&](std::int64_t j) {
            const auto other = static_cast<std::size_t>(j);
            return boxes.groups[at] == boxes.groups[other] &&
                   double{overlap(&boxes.corners[4 * other], &boxes.corners[4 * at])} > threshold;
        });
        if (!suppressed) kept.push_back(i);
    }
    return kept;
}

using Places = std::vector<std::int64_t>;

}  // namespace

TEST_CASE("of boxes that overlap by more than the threshold the best stays") {
    Boxes boxes;
    boxes.add(0, 0, 10, 10, 0.5F);
    boxes.add(0, 0, 10, 8, 0.9F);  // .8 of the first
    boxes.add(0, 0, 10, 4, 0.7F);  // .5 of the second, .4 of the first
    boxes.add(50, 0, 60, 10, 0.1F);
    CHECK(boxes.kept(0.7) == Places{1, 2, 3});
    CHECK(boxes.kept(0.5) == Places{1, 2, 3});  // the overlap .5 is not above .5
    CHECK(boxes.kept(0.49) == Places{1, 3});
    CHECK(boxes.kept(0.81) == Places{1, 2, 0, 3});
}

TEST_CASE("a suppressed box suppresses nothing, and groups are apart") {
    Boxes boxes;
    boxes.add(0, 0, 10, 10, 0.9F, 7);
    boxes.add(4, 0, 14, 10, 0.8F, 7);  // .43 of the first and of the third
    boxes.add(8, 0, 18, 10, 0.7F, 7);
    boxes.add(0, 0, 10, 10, 0.95F, 2);
    CHECK(boxes.kept(0.4) == Places{3, 0, 2});
}

TEST_CASE("equal scores count by their place") {
    Boxes boxes;
    for (int i = 0; i < 4; ++i) boxes.add(0, 0, 10, 10, 0.5F);
    CHECK(boxes.kept(0.5) == Places{0});
    boxes.scores = {0.0F, -0.0F, 0.0F, 0.25F};
    CHECK(boxes.kept(0.5) == Places{3});
    CHECK(boxes.kept(1.0) == Places{3, 0, 1, 2});
}

TEST_CASE("nothing, and boxes without area") {
    Boxes boxes;
    CHECK(boxes.kept(0.5).empty());
    for (int i = 0; i < 3; ++i) boxes.add(5, 5, 5, 5, 0.5F);
    CHECK(boxes.kept(0.0) == Places{0, 1, 2});  // 0 / 0 is above nothing
}

TEST_CASE("many boxes are suppressed as by brute force, with any number of threads") {
    for (std::uint32_t seed = 1; seed <= 6; ++seed) {
        std::mt19937 random(seed);
        Boxes boxes;
        const int groups = seed % 2 == 0 ? 1 : 20;
        for (int i = 0; i < 1500; ++i) {
            const auto draw = [&](unsigned below) {
                const auto value = static_cast<float>(random() % (below * 8));
                return seed < 4 ? std::floor(value / 8) : value / 8;  // whole ones tie and touch
            };
            const float x = draw(80), y = draw(80);
            boxes.add(x, y, x + 1 + draw(30), y + 1 + draw(30),
                      static_cast<float>(random() % 64) / 64, random() % groups);
        }
        for (const double threshold : {0.0, 0.3, 0.5, 0.7, 0.95}) {
            CAPTURE(seed, threshold);
            const Places expected = brute_force(boxes, threshold);
            CHECK(boxes.kept(threshold) == expected);
            use_threads(3);
            CHECK(boxes.kept(threshold) == expected);
            use_threads(1);
        }
    }
}
