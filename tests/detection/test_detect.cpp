// Detections of outputs by hand, and against the steps of the two detectors written out.

#include "src/detection/detect.hpp"

#include <ATen/ops/from_blob.h>
#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "src/base/check.hpp"
#include "src/base/thread_team.hpp"
#include "src/detection/box_code.hpp"
#include "src/models/anchors.hpp"
#include "src/models/model.hpp"
#include "src/models/tensors.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/toy_pool.hpp"

using namespace thresher;

namespace {

using Floats = std::vector<float>;
using Places = std::vector<std::int64_t>;

/// Of images 100 wide and 80 high.
ModelSpec make_spec(const char* name, std::int64_t classes) {
    ModelSpec spec;
    spec.name = name;
    spec.input_shape = {3, 80, 100};
    spec.classes = classes;
    spec.detector.emplace();
    return spec;
}

ImageDetections detect(const ModelSpec& spec, const DetectOptions& options, const Floats& anchors,
                       const std::vector<double>& logits, const Places& levels,
                       const at::Tensor& codes = {}) {
    const auto count = std::ssize(anchors) / 4;
    const auto found = Detect(spec, options, anchors,
                              levels)({at::tensor(logits, at::kFloat).view({1, count, -1}),
                                       {},
                                       codes.defined() ? codes : at::zeros({1, count, 4})});
    REQUIRE(found.size() == 1);
    return found[0];
}

/// Logits of these probabilities, the last of each anchor the background's.
std::vector<double> softmax_logits(std::vector<double> probabilities) {
    for (double& p : probabilities) p = std::log(p) + 3.0;
    return probabilities;
}

std::vector<double> sigmoid_logits(std::vector<double> probabilities) {
    for (double& p : probabilities) p = std::log(p / (1.0 - p));
    return probabilities;
}

void check_near(const Floats& found, const std::vector<double>& expected) {
    REQUIRE(found.size() == expected.size());
    for (std::size_t i = 0; i < found.size(); ++i) {
        CAPTURE(i, found[i], expected[i]);
        CHECK(std::abs(double{found[i]} - expected[i]) < 1e-5);
    }
}

/// Three apart, 10 x 10, and the first again, a little wider.
const Floats kAnchors{0, 0, 10, 10, 20, 20, 30, 30, 40, 40, 50, 50, 0, 0, 11, 10};

}  // namespace

TEST_CASE("an ssd's detections are its classes above the threshold, by falling score") {
    const ModelSpec spec = make_spec("ssd", 2);
    // The last anchor has a score of class 1 that the first one's suppresses, and one of class 0
    // that is not suppressed by another class.
    const ImageDetections found =
        detect(spec, {0.05, 0.45, 400, 200}, kAnchors,
               softmax_logits({.01, .8, .19, .3, .04, .66, .02, .03, .95, .2, .7, .1}), {4});
    check_near(found.scores, {.8, .3, .2});
    CHECK(found.classes == Places{1, 0, 0});
    CHECK(found.anchors == Places{0, 1, 3});
    check_near(found.corners, {0, 0, 10, 10, 20, 20, 30, 30, 0, 0, 11, 10});
}

TEST_CASE("a retinanet's classes have a probability each") {
    const ModelSpec spec = make_spec("retinanet", 2);
    const ImageDetections found =
        detect(spec, {0.05, 0.5, 1000, 300}, kAnchors,
               sigmoid_logits({.9, .8, .04, .05001, .02, .6, .7, .81}), {3, 1});
    check_near(found.scores, {.9, .81, .6, .05001});
    CHECK(found.classes == Places{0, 1, 1, 1});
    CHECK(found.anchors == Places{0, 3, 2, 1});
}

TEST_CASE("boxes are decoded, cut at the image, and dropped where nothing of them is left") {
    // One half left of the image, one over its lower right corner, one beyond it, one that touches
    // its edge from outside.
    const Floats anchors{-5, 10, 5, 20, 90, 70, 110, 90, 200, 10, 210, 20, 100, 0, 110, 10};
    const ModelSpec spec = make_spec("retinanet", 1);
    const auto logits = sigmoid_logits({.9, .8, .7, .6});
    const ImageDetections found = detect(spec, {0.05, 0.5, 1000, 300}, anchors, logits, {4});
    check_near(found.corners, {0, 10, 5, 20, 90, 70, 100, 80});
    CHECK(found.anchors == Places{0, 1});
    // A shift by a side to the right brings the first one in; the third's width becomes a 1000 / 16
    // fold, which reaches over the whole width; an ssd has codes ten and five times as large.
    at::Tensor codes = at::zeros({1, 4, 4});
    codes[0][0][0] = 1.0;
    codes[0][2][2] = 9.0;
    check_near(detect(spec, {0.05, 0.5, 1000, 300}, anchors, logits, {4}, codes).corners,
               {5, 10, 15, 20, 90, 70, 100, 80, 0, 10, 100, 20});
    codes[0][0][0] = 10.0;
    codes[0][2][2] = 45.0;
    check_near(detect(make_spec("ssd", 1), {0.05, 0.5, 400, 200}, anchors,
                      softmax_logits({.9, .1, .8, .2, .7, .3, .6, .4}), {4}, codes)
                   .corners,
               {5, 10, 15, 20, 90, 70, 100, 80, 0, 10, 100, 20});
}

TEST_CASE("candidates are counted by class in an ssd, by level in a retinanet") {
    const Floats anchors{0, 0, 9, 9, 10, 0, 19, 9, 20, 0, 29, 9, 30, 0, 39, 9};
    DetectOptions options{0.05, 0.5, 2, 100};
    const ImageDetections ssd =
        detect(make_spec("ssd", 2), options, anchors,
               softmax_logits({.2, .3, .5, .3, .4, .3, .4, .1, .5, .1, .2, .7}), {4});
    check_near(ssd.scores, {.4, .4, .3, .3});
    CHECK(ssd.anchors == Places{1, 2, 0, 1});
    CHECK(ssd.classes == Places{1, 0, 1, 0});
    const auto logits = sigmoid_logits({.2, .3, .4, .35, .9, .8, .7, .1});
    const ImageDetections levels =
        detect(make_spec("retinanet", 2), options, anchors, logits, {2, 2});
    check_near(levels.scores, {.9, .8, .4, .35});
    CHECK(levels.anchors == Places{2, 2, 1, 1});
    check_near(detect(make_spec("retinanet", 2), options, anchors, logits, {4}).scores, {.9, .8});
    options = {0.05, 0.5, 4, 3};
    check_near(detect(make_spec("retinanet", 2), options, anchors, logits, {4}).scores,
               {.9, .8, .7});
}

TEST_CASE("equal scores come by anchor, then by class, and the first of them are candidates") {
    const Floats anchors{0, 0, 9, 9, 10, 0, 19, 9, 20, 0, 29, 9, 20, 0, 29, 9};
    const auto half = sigmoid_logits({.5, .5, .5, .5, .5, .5, .5, .5});
    const ImageDetections all =
        detect(make_spec("retinanet", 2), {0.05, 0.5, 100, 100}, anchors, half, {4});
    CHECK(all.anchors == Places{0, 0, 1, 1, 2, 2});
    CHECK(all.classes == Places{0, 1, 0, 1, 0, 1});
    const ImageDetections three =
        detect(make_spec("retinanet", 2), {0.05, 0.5, 3, 100}, anchors, half, {4});
    CHECK(three.anchors == Places{0, 0, 1});
    CHECK(three.classes == Places{0, 1, 0});
    const std::vector<double> third(12, 1.0);
    const ImageDetections of_classes =
        detect(make_spec("ssd", 2), {0.05, 0.5, 2, 3}, anchors, third, {4});
    CHECK(of_classes.anchors == Places{0, 0, 1});
    CHECK(of_classes.classes == Places{0, 1, 0});
}

namespace {

struct Found {
    float score;
    std::int64_t anchor, class_index;
    std::array<float, 4> box;
};

bool before(const Found& a, const Found& b) {
    if (a.score != b.score) return a.score > b.score;
    return std::pair(a.anchor, a.class_index) < std::pair(b.anchor, b.class_index);
}

double overlap(const Found& a, const Found& b) {
    const auto area = [](const Found& of) {
        return (of.box[2] - of.box[0]) * (of.box[3] - of.box[1]);
    };
    const float width = std::min(a.box[2], b.box[2]) - std::max(a.box[0], b.box[0]);
    const float height = std::min(a.box[3], b.box[3]) - std::max(a.box[1], b.box[1]);
    const float both = std::max(width, 0.0F) * std::max(height, 0.0F);
    return both / (area(a) + area(b) - both);
}

/// The steps one after the other, each over everything.
std::vector<Found> step_by_step(const ModelSpec& spec, const DetectOptions& options,
                                const Floats& anchors, const Places& levels, const Floats& logits,
                                const Floats& codes) {
    const bool ssd = spec.name == "ssd";
    const std::int64_t classes = spec.classes, columns = classes + (ssd ? 1 : 0);
    std::vector<std::vector<Found>> groups(
        static_cast<std::size_t>(ssd ? classes : std::ssize(levels)));
    std::int64_t level = 0, left = levels[0];
    for (std::int64_t anchor = 0; anchor < std::ssize(anchors) / 4; ++anchor, --left) {
        if (left == 0) left = levels[static_cast<std::size_t>(++level)];
        std::vector<double> row;
        double sum = 0.0;
        for (std::int64_t c = 0; c < columns; ++c) {
            const double logit = logits[static_cast<std::size_t>(anchor * columns + c)];
            row.push_back(ssd ? std::exp(logit) : 1.0 / (1.0 + std::exp(-logit)));
            sum += row.back();
        }
        for (std::int64_t c = 0; c < classes; ++c) {
            const double p = row[static_cast<std::size_t>(c)];
            Found found{static_cast<float>(ssd ? p / sum : p), anchor, c, {}};
            if (found.score <= options.score_threshold) continue;
            decode_box(std::span<const float, 4>(&anchors[static_cast<std::size_t>(4 * anchor)], 4),
                       std::span<const float, 4>(&codes[static_cast<std::size_t>(4 * anchor)], 4),
                       ssd ? kSsdCode : kRetinanetCode, found.box);
            for (std::size_t i = 0; i < 4; ++i) {
                found.box[i] = std::max(0.0F, std::min(found.box[i], i % 2 == 0 ? 100.0F : 80.0F));
            }
            groups[static_cast<std::size_t>(ssd ? c : level)].push_back(found);
        }
    }
    std::vector<Found> all, kept;
    for (auto& group : groups) {
        std::sort(group.begin(), group.end(), before);
        const auto count = std::min(options.candidates, std::ssize(group));
        all.insert(all.end(), group.begin(), group.begin() + count);
    }
    std::sort(all.begin(), all.end(), before);
    for (const Found& one : all) {
        if (one.box[0] >= one.box[2] || one.box[1] >= one.box[3]) continue;
        const bool suppressed = std::any_of(kept.begin(), kept.end(), [&](const Found& other) {
            return other.class_index == one.class_index && overlap(other, one) > options.overlap;
        });
        if (!suppressed && std::ssize(kept) < options.most) kept.push_back(one);
    }
    return kept;
}

}  // namespace

TEST_CASE("many detections are those of the steps one by one, with any number of threads") {
    for (const char* const name : {"ssd", "retinanet"}) {
        const ModelSpec spec = make_spec(name, 3);
        const std::int64_t count = 600, columns = name == std::string("ssd") ? 4 : 3;
        std::mt19937 random(11);
        std::normal_distribution<float> normal;
        Floats anchors, logits, codes;
        for (std::int64_t i = 0; i < count; ++i) {
            const auto x = static_cast<float>(random() % 110) - 10;
            const auto y = static_cast<float>(random() % 90) - 10;
            for (const float side : {x, y, x + 12, y + 15}) anchors.push_back(side);
        }
        // Logits in quarters, so that scores tie.
        for (std::int64_t i = 0; i < 3 * count * columns; ++i) {
            logits.push_back(std::round(8 * normal(random) - 8) / 4);
        }
        for (std::int64_t i = 0; i < 3 * count * 4; ++i) codes.push_back(normal(random) / 2);
        const Places levels{400, 150, 50};
        for (const DetectOptions& options :
             {DetectOptions{0.05, 0.45, 60, 1000}, DetectOptions{0.0, 0.3, 10000, 10000},
              DetectOptions{0.3, 0.7, 20, 30}}) {
            const Detect detect(spec, options, anchors, levels);
            const auto tensor = [&](Floats& values) {
                return at::from_blob(values.data(), {3, count, std::ssize(values) / 3 / count},
                                     at::kFloat);
            };
            for (const int threads : {1, 3}) {
                use_threads(threads);
                const auto images = detect({tensor(logits), {}, tensor(codes)});
                REQUIRE(images.size() == 3);
                for (std::size_t image = 0; image < 3; ++image) {
                    const auto part = [&](const Floats& values) {
                        const auto size = std::ssize(values) / 3;
                        const auto begin = values.begin() + static_cast<std::int64_t>(image) * size;
                        return Floats(begin, begin + size);
                    };
                    const auto expected =
                        step_by_step(spec, options, anchors, levels, part(logits), part(codes));
                    const ImageDetections& found = images[image];
                    CAPTURE(name, image, options.candidates);
                    REQUIRE(found.scores.size() == expected.size());
                    std::size_t same = 0;
                    for (std::size_t i = 0; i < expected.size(); ++i) {
                        const Found& wanted = expected[i];
                        same +=
                            found.anchors[i] == wanted.anchor &&
                            found.classes[i] == wanted.class_index &&
                            std::abs(found.scores[i] - wanted.score) < 1e-6F &&
                            std::equal(wanted.box.begin(), wanted.box.end(),
                                       found.corners.begin() + static_cast<std::int64_t>(4 * i));
                    }
                    CHECK(same == expected.size());
                    CHECK(same > 10);
                }
            }
            use_threads(1);
        }
    }
}

TEST_CASE("outputs that are no numbers are no detections") {
    for (const char* const name : {"ssd", "retinanet"}) {
        const double nan = std::nan("");
        const std::int64_t columns = name == std::string("ssd") ? 3 : 2;
        const Detect detect(make_spec(name, 2), {}, kAnchors, {4});
        const at::Tensor codes = at::zeros({1, 4, 4}), logits = at::zeros({1, 4, columns});
        CHECK(detect({logits, {}, codes})[0].scores.size() == 6);  // the last is suppressed
        CHECK(detect({at::full({1, 4, columns}, nan), {}, codes})[0].scores.empty());
        CHECK(detect({logits, {}, at::full({1, 4, 4}, nan)})[0].scores.empty());
        CHECK(detect({logits, {}, at::full({1, 4, 4}, INFINITY)})[0].scores.empty());
        CHECK(detect({logits.narrow(0, 0, 0), {}, codes.narrow(0, 0, 0)}).empty());
        CHECK_THROWS_AS(detect({logits.narrow(1, 0, 3), {}, codes}), Error);
        CHECK_THROWS_AS(detect({logits.narrow(2, 0, 1), {}, codes}), Error);
        CHECK_THROWS_AS(detect({logits.expand({2, 4, columns}), {}, codes}), Error);
    }
    CHECK_THROWS_AS(Detect(make_spec("cnn", 2), {}, kAnchors, {4}), Error);
    CHECK_THROWS_AS(Detect(make_spec("ssd", 2), {}, kAnchors, {3}), Error);
    CHECK_THROWS_AS(detect_options(make_spec("cnn", 2)), Error);
}

TEST_CASE("a model's outputs become detections inside its images") {
    const c10::NoGradGuard no_grad;
    for (const std::string name : {"ssd", "retinanet"}) {
        PoolInfo info = byte_pool(1, {3, 64, 96}, 2).info;
        info.has_boxes = true;
        const auto model = make_model(spec_for_pool(name, info), 1);
        DetectOptions options = detect_options(model->spec());
        options.score_threshold = 0.0;
        const auto images =
            Detect(model->spec(), options)(model->forward(at::zeros({2, 3, 64, 96})));
        CHECK(images.size() == 2);
        CHECK(images[0].corners == images[1].corners);
        const ImageDetections& found = images[0];
        const auto anchors = std::ssize(anchor_boxes(model->spec())) / 4;
        CHECK(!found.scores.empty());
        CHECK(std::is_sorted(found.scores.rbegin(), found.scores.rend()));
        for (std::size_t i = 0; i < found.scores.size(); ++i) {
            const float* const box = &found.corners[4 * i];
            CHECK((0.0F <= box[0] && box[0] < box[2] && box[2] <= 96.0F));
            CHECK((0.0F <= box[1] && box[1] < box[3] && box[3] <= 64.0F));
            CHECK((found.anchors[i] >= 0 && found.anchors[i] < anchors));
        }
    }
}
