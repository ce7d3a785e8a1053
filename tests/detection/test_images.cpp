// What is made of the detections of an image: how much of which class is in it, where it is in the
// original image, and whether the mirrored image shows the same.

#include <cmath>
#include <limits>

#include "src/detection/detected_images.hpp"
#include "src/detection/mirror.hpp"
#include "src/detection/presence.hpp"
#include "tests/support/catch.hpp"

using namespace thresher;

namespace {

using Floats = std::vector<float>;

void check_near(const Floats& found, const std::vector<double>& expected) {
    REQUIRE(found.size() == expected.size());
    for (std::size_t i = 0; i < found.size(); ++i) {
        CAPTURE(i, found[i], expected[i]);
        CHECK(double{found[i]} == Approx(expected[i]).epsilon(1e-6));
    }
}

Floats presence_of(const Floats& scores, const std::vector<std::int64_t>& classes) {
    Floats log_probs(4);
    presence({Floats(4 * scores.size()), scores, classes, {}}, 3, log_probs);
    return log_probs;
}

}  // namespace

TEST_CASE("the share of a class is what is expected of it, one thing more being nothing") {
    // Expected of the classes: 3/4, 1/4 and none; 1 + their sum is 2.
    const Floats some = presence_of({0.5F, 0.25F, 0.25F}, {0, 1, 0});
    check_near({some[0], some[1], some[3]}, {std::log(0.375), std::log(0.125), std::log(0.5)});
    CHECK(some[2] == -std::numeric_limits<float>::infinity());
    double sum = 0.0;
    for (const float log_prob : some) sum += std::exp(double{log_prob});
    CHECK(sum == Approx(1.0).epsilon(1e-6));
    // Nothing found: certainly nothing.
    const Floats none = presence_of({}, {});
    CHECK(none[3] == 0.0F);
    for (std::size_t c = 0; c < 3; ++c) CHECK(std::isinf(none[c]));
    // As much of a class as of nothing.
    check_near({presence_of({1.0F}, {2})[2]}, {std::log(0.5)});
}

TEST_CASE("objects and detections of images are gathered in pixels of the originals") {
    const std::vector<LabelledBox> first{
        {1, 2, 5, 10, 0, 1, kDifficult}, {0, 0, 2, 2, 7, 0, 0}, {}},
        second{{}, {}, {}};
    DetectedImages images;
    images.add(70, first, {{1, 2, 4, 8}, {0.5F}, {1}, {}}, 2.0, 0.5);
    images.add(50, second, {});
    images.add(60, second, {{0, 0, 1, 1, 2, 2, 3, 4}, {0.9F, 0.8F}, {0, 2}, {}});
    const TruthBoxes truth = images.truth();
    CHECK(std::vector(truth.image_ids.begin(), truth.image_ids.end()) ==
          std::vector<std::int64_t>{70, 50, 60});
    CHECK(std::vector(truth.offsets.begin(), truth.offsets.end()) ==
          std::vector<std::int64_t>{0, 2, 2, 2});
    REQUIRE(truth.boxes.size() == 2);
    CHECK(truth.classes[0] == 1);
    CHECK(truth.flags[0] == kDifficult);
    CHECK(truth.flags[1] == 0);
    const Box& box = truth.boxes[0];
    CHECK((box.x0 == 2.0 && box.y0 == 1.0 && box.x1 == 10.0 && box.y1 == 5.0));
    CHECK(box.area == 32.0);
    CHECK(truth.areas[0] == 32.0);  // the box's, where the object's is not known
    CHECK(truth.areas[1] == 7.0);   // of the original image already
    const Detections found = images.detections();
    CHECK(std::vector(found.images.begin(), found.images.end()) ==
          std::vector<std::int64_t>{0, 2, 2});
    CHECK((found.boxes[0].x0 == 2.0 && found.boxes[0].y0 == 1.0 && found.boxes[0].x1 == 8.0 &&
           found.boxes[0].y1 == 4.0));
    CHECK((found.boxes[2].x1 == 3.0 && found.boxes[2].y1 == 4.0));
    CHECK(found.scores[1] == double{0.9F});
    CHECK(found.classes[2] == 2);
    CHECK_NOTHROW(check_boxes(truth, found, 3));
}

TEST_CASE("a box disagrees with the mirrored image by what no box of its class there covers") {
    // In an image 100 wide: found at 10 to 30, 40 to 60 and 80 to 90.
    const ImageDetections found{
        {10, 0, 30, 10, 40, 0, 60, 10, 80, 0, 90, 10}, {0.9F, 0.8F, 0.7F}, {0, 1, 0}, {}};
    // Mirrored back: class 0 at 10 to 30; class 1 at 50 to 70 and 45 to 55; class 1 at 80 to 90.
    const ImageDetections mirrored{{70, 0, 90, 10, 30, 0, 50, 10, 45, 0, 55, 10, 10, 0, 20, 10},
                                   {0.9F, 0.8F, 0.7F, 0.6F},
                                   {0, 1, 1, 1},
                                   {}};
    Floats all(3), two(2), none(0);
    mirror_disagreement(found, mirrored, 100.0, all);
    CHECK(all[0] == 0.0F);  // the same
    CHECK(all[1] == 0.5F);  // 1 / 3 of the one, 1 / 2 of the other
    CHECK(all[2] == 1.0F);  // another class
    mirror_disagreement(found, mirrored, 100.0, two);
    CHECK(two == Floats{0.0F, 0.5F});
    mirror_disagreement(found, {}, 100.0, two);
    CHECK(two == Floats{1.0F, 1.0F});
    mirror_disagreement({}, mirrored, 100.0, none);
}
