#include <algorithm>
#include <cmath>

#include "src/base/check.hpp"
#include "src/models/anchors.hpp"
#include "src/random/philox.hpp"
#include "tests/models/detector_spec_of.hpp"
#include "tests/support/catch.hpp"

using namespace thresher;
using thresher::test::contains;

namespace {

void check_anchor(const std::vector<float>& anchors, std::size_t index, double x, double y,
                  double width, double height) {
    INFO("anchor " << index);
    CHECK(anchors[4 * index] == Approx(x - width / 2).margin(1e-4));
    CHECK(anchors[4 * index + 1] == Approx(y - height / 2).margin(1e-4));
    CHECK(anchors[4 * index + 2] == Approx(x + width / 2).margin(1e-4));
    CHECK(anchors[4 * index + 3] == Approx(y + height / 2).margin(1e-4));
}

std::size_t anchor_count(const ModelSpec& spec) { return anchor_boxes(spec).size() / 4; }

double size_of(const AnchorShape& shape) { return std::sqrt(shape.width * shape.height); }

LabelledBox box_of(double width, double height) {
    LabelledBox box;
    box.x0 = 3.0F;
    box.y0 = 5.0F;
    box.x1 = box.x0 + static_cast<float>(width);
    box.y1 = box.y0 + static_cast<float>(height);
    box.class_index = 0;
    return box;
}

/// Four shapes around the mean size of each level's, by area.
std::vector<std::vector<AnchorShape>> made_up_shapes(const ModelSpec& spec) {
    std::vector<std::vector<AnchorShape>> shapes;
    for (const auto& level : spec.detector->anchors) {
        double log_size = 0.0;
        for (const AnchorShape& shape : level) log_size += std::log(size_of(shape));
        const double size = std::exp(log_size / static_cast<double>(level.size()));
        shapes.push_back({{0.8 * size, 0.8 * size},
                          {0.6 * size, 1.6 * size},
                          {1.65 * size, 0.6 * size},
                          {1.25 * size, 1.25 * size}});
    }
    return shapes;
}

/// Boxes within 4% of the shapes; of the first of a level there are ten times as many.
std::vector<LabelledBox> boxes_near(const std::vector<std::vector<AnchorShape>>& shapes) {
    std::vector<LabelledBox> boxes;
    const KeyedRandom random(1, Stream::synthetic, 0);
    const auto jitter = [&] { return 0.96 + 0.08 * random.uniform(std::ssize(boxes)); };
    for (const auto& level : shapes) {
        for (std::size_t i = 0; i < level.size(); ++i) {
            for (int repeat = 0; repeat < (i == 0 ? 100 : 10); ++repeat) {
                boxes.push_back(box_of(level[i].width * jitter(), level[i].height * jitter()));
            }
        }
    }
    return boxes;
}

}  // namespace

TEST_CASE("the anchors of SSD300 are those of the paper") {
    const ModelSpec spec = detector_spec_of("ssd", {3, 300, 300});
    CHECK(spec.detector->trunk == "vgg16");
    const std::vector<float> anchors = anchor_boxes(spec);
    REQUIRE(anchors.size() == 4 * 8732);
    // Scales 0.07, 0.15, 0.33, ... 0.87 of 300 pixels on grids of 38, 19, 10, 5, 3 and 1.
    const double first = 0.5 * 300 / 38, root = std::sqrt(2.0);
    check_anchor(anchors, 0, first, first, 21, 21);
    check_anchor(anchors, 1, first, first, std::sqrt(21.0 * 45), std::sqrt(21.0 * 45));
    check_anchor(anchors, 2, first, first, 21 * root, 21 / root);
    check_anchor(anchors, 3, first, first, 21 / root, 21 * root);
    check_anchor(anchors, 4, 3 * first, first, 21, 21);       // the second column
    check_anchor(anchors, 4 * 38, first, 3 * first, 21, 21);  // the second row
    // Behind 38 x 38 x 4: row 1, column 2 of 19 x 19 x 6.
    const std::size_t at = 5776 + (19 + 2) * 6;
    check_anchor(anchors, at, 2.5 * 300 / 19, 1.5 * 300 / 19, 45, 45);
    check_anchor(anchors, at + 4, 2.5 * 300 / 19, 1.5 * 300 / 19, 45 * std::sqrt(3.0),
                 45 / std::sqrt(3.0));
    // The last level has one place; no side is longer than the image.
    check_anchor(anchors, 8728, 150, 150, 261, 261);
    check_anchor(anchors, 8731, 150, 150, 261 / root, 300);
}

TEST_CASE("detectors have as many anchors as their papers' code") {
    CHECK(anchor_count(detector_spec_of("ssd", {3, 512, 512}, "vgg16")) == 24564);
    // 64^2 + 32^2 + 16^2 + 8^2 + 4^2 places with three scales of three ratios.
    const ModelSpec retinanet = detector_spec_of("retinanet", {3, 512, 512});
    CHECK(retinanet.detector->trunk == "resnet50");
    CHECK(anchor_count(retinanet) == 49104);
}

TEST_CASE("the anchors of a RetinaNet for 800 pixels have areas from 32^2 to 813^2") {
    const ModelSpec spec = detector_spec_of("retinanet", {3, 800, 800});
    const auto& anchors = spec.detector->anchors;
    REQUIRE(anchors.size() == 5);
    for (std::size_t level = 0; level < anchors.size(); ++level) {
        std::vector<double> sizes, ratios;
        for (const AnchorShape& shape : anchors[level]) {
            sizes.push_back(size_of(shape) / std::ldexp(32.0, static_cast<int>(level)));
            ratios.push_back(shape.width / shape.height);
        }
        std::sort(sizes.begin(), sizes.end());
        std::sort(ratios.begin(), ratios.end());
        for (std::size_t i = 0; i < 9; ++i) {
            CHECK(sizes[i] == Approx(std::pow(2.0, static_cast<double>(i / 3) / 3.0)));
            CHECK(ratios[i] == Approx(std::ldexp(0.5, static_cast<int>(i / 3))));
        }
    }
}

TEST_CASE("small images get a small trunk and anchors from 8 pixels on") {
    for (const char* name : {"ssd", "retinanet"}) {
        for (const std::int64_t side : {64, 128, 160}) {
            const ModelSpec spec = detector_spec_of(name, {3, side, side});
            CHECK(spec.detector->trunk == "small");
            const auto levels = detector_levels(spec);
            CHECK(levels.front().height == side / 4);
            CHECK(levels.back().height == side / 32);
            double smallest = 1e9, largest = 0.0;
            for (const auto& shapes : spec.detector->anchors) {
                for (const AnchorShape& shape : shapes) {
                    smallest = std::min(smallest, size_of(shape));
                    largest = std::max(largest, size_of(shape));
                }
            }
            CHECK(smallest >= 7.99);
            CHECK(smallest <= 10.01);
            CHECK(largest >= 0.6 * static_cast<double>(side));
            CHECK(largest <= static_cast<double>(side));
        }
    }
}

TEST_CASE("anchors of an image that is no square lie on both of its grids") {
    const ModelSpec spec = detector_spec_of("ssd", {1, 48, 96});
    const auto levels = detector_levels(spec);
    CHECK((levels.front() == FeatureLevel{32, 12, 24}));
    const std::vector<float> anchors = anchor_boxes(spec);
    const AnchorShape& shape = spec.detector->anchors[0][0];
    check_anchor(anchors, (5 * 24 + 7) * 4, 4 * 7.5, 4 * 5.5, shape.width, shape.height);
}

TEST_CASE("anchors that are fitted to clusters of boxes are their middles") {
    const ModelSpec spec = detector_spec_of("ssd", {3, 128, 128});
    const auto expected = made_up_shapes(spec);
    std::vector<LabelledBox> boxes = boxes_near(expected);
    const auto fitted = fit_anchors(spec, boxes);
    REQUIRE(fitted.size() == expected.size());
    for (std::size_t level = 0; level < fitted.size(); ++level) {
        REQUIRE(fitted[level].size() == expected[level].size());
        for (std::size_t i = 0; i < fitted[level].size(); ++i) {
            INFO("level " << level << ", shape " << i);
            CHECK(fitted[level][i].width == Approx(expected[level][i].width).epsilon(0.03));
            CHECK(fitted[level][i].height == Approx(expected[level][i].height).epsilon(0.03));
        }
    }
    std::reverse(boxes.begin(), boxes.end());
    std::rotate(boxes.begin(), boxes.begin() + 77, boxes.end());
    CHECK((fit_anchors(spec, boxes) == fitted));
    LabelledBox crowd = box_of(60, 11);
    crowd.flags = kCrowd;
    for (int i = 0; i < 200; ++i) boxes.insert(boxes.begin(), {crowd, LabelledBox()});
    CHECK((fit_anchors(spec, boxes) == fitted));
}

TEST_CASE("levels with fewer objects than shapes keep their shapes") {
    const ModelSpec spec = detector_spec_of("retinanet", {3, 128, 128});
    CHECK((fit_anchors(spec, {}) == spec.detector->anchors));
    const std::vector<LabelledBox> five(5, box_of(9, 9)), six(6, box_of(9, 9));
    CHECK((fit_anchors(spec, five) == spec.detector->anchors));
    const auto fitted = fit_anchors(spec, six);
    CHECK((fitted[0] == std::vector<AnchorShape>(6, {9, 9})));
    CHECK((fitted[1] == spec.detector->anchors[1]));
}

TEST_CASE("anchors that do not suit their detector are refused") {
    ModelSpec spec = detector_spec_of("ssd", {3, 128, 128});
    spec.detector->anchors.pop_back();
    CHECK_THROWS_WITH(anchor_boxes(spec),
                      contains("anchors for 3 levels") && contains("has 4 levels"));
    spec = detector_spec_of("retinanet", {3, 128, 128});
    spec.detector->anchors[1].pop_back();
    CHECK_THROWS_WITH(anchor_boxes(spec), contains("6 anchors on one level and 5 on another"));
    spec = detector_spec_of("ssd", {3, 128, 128});
    spec.detector->anchors[2][0].height = 0.0;
    CHECK_THROWS_WITH(anchor_boxes(spec), contains("finite and above 0"));
    spec.detector->anchors[2].clear();
    CHECK_THROWS_WITH(anchor_boxes(spec), contains("a level without anchors"));
    spec.detector.reset();
    CHECK_THROWS_WITH(anchor_boxes(spec), contains("is no detector"));
}
