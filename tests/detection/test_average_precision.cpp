// The metric of detections: cases whose answer is known by hand, the plain reference, and ranks.

#include "src/detection/average_precision.hpp"

#include <cmath>

#include "tests/detection/coco_reference.hpp"
#include "tests/detection/scenes.hpp"
#include "tests/support/ranks.hpp"

using namespace thresher;
using namespace thresher::test;

namespace {

DetectionMetric measure(const Scene& scene, DetectionRule rule, std::int64_t classes = 1,
                        double threshold = 0.5, double pixel = 0.0) {
    const auto alone = make_local_collective();
    DetectionMetricOptions options;
    options.rule = rule;
    options.voc_threshold = threshold;
    options.voc_pixel = pixel;
    options.curves = true;
    return measure_detections(scene.truth(), scene.detections(), classes, options, *alone);
}

double mean_of(const Scene& scene, DetectionRule rule) {
    return measure(scene, rule).mean_average_precision;
}

bool near(double found, double expected) { return std::abs(found - expected) <= 1e-12; }

constexpr auto kCoco = DetectionRule::coco, kVoc07 = DetectionRule::voc07,
               kVoc10 = DetectionRule::voc10;

}  // namespace

TEST_CASE("one object that is found exactly has precision and recall 1") {
    Scene scene;
    scene.image(1);
    scene.object(square(0, 50));
    scene.detection(square(0, 50), 0.9);
    const DetectionMetric metric = measure(scene, kCoco);
    for (const std::size_t i : {0, 1, 2, 4, 6, 7, 8, 10}) CHECK(near(metric.coco[i], 1.0));
    for (const std::size_t i : {3, 5, 9, 11}) CHECK(metric.coco[i] == kNoObjects);
    CHECK(mean_of(scene, kVoc07) == 1.0);
    CHECK(mean_of(scene, kVoc10) == 1.0);
}

TEST_CASE("scores that tie count by image id, whatever the order of images") {
    // Image 3 has the hit, image 5 a false alarm, both of score .5; two objects.
    for (const bool hit_first : {false, true}) {
        Scene scene;
        for (const std::int64_t id : {5, 3}) {
            scene.image(id);
            scene.object(square(0, 50));
            scene.detection(square(hit_first == (id == 3) ? 0 : 500, 50), 0.5);
        }
        // Recall .5 is reached at the first or second detection: precision 1 or 1/2 until there.
        const double precision = hit_first ? 1.0 : 0.5;
        CHECK(near(measure(scene, kCoco).coco[1], precision * 51 / 101));
        CHECK(near(mean_of(scene, kVoc07), precision * 6 / 11));
        CHECK(near(mean_of(scene, kVoc10), precision / 2));
    }
}

TEST_CASE("scores that tie in an image count by their order") {
    for (const bool hit_first : {false, true}) {
        Scene scene;
        scene.image(1);
        scene.object(square(0, 50));
        scene.detection(square(hit_first ? 0 : 500, 50), 0.5);
        scene.detection(square(hit_first ? 500 : 0, 50), 0.5);
        CHECK(near(measure(scene, kCoco).coco[1], hit_first ? 1.0 : 0.5));
        CHECK(near(mean_of(scene, kVoc10), hit_first ? 1.0 : 0.5));
    }
}

TEST_CASE("the second detection of an object is a false alarm") {
    Scene scene;
    scene.image(1);
    scene.object(square(0, 50));
    scene.object(square(200, 50));
    scene.detection(square(0, 50), 0.9);
    scene.detection(square(0, 50), 0.8);
    scene.detection(square(200, 50), 0.7);
    // Precision 1 at recall 1/2 and 2/3 at recall 1.
    CHECK(near(mean_of(scene, kVoc10), 0.5 * 1.0 + 0.5 * 2 / 3));
    CHECK(near(mean_of(scene, kVoc07), (6 * 1.0 + 5 * 2.0 / 3) / 11));
    CHECK(near(mean_of(scene, kCoco), (51 * 1.0 + 50 * 2.0 / 3) / 101));
    const auto curve = measure(scene, kVoc10).curves;
    REQUIRE(curve.size() == 2);
    CHECK((curve[0].recall == 0.5 && curve[0].precision == 1.0 && curve[0].score == 0.9));
    CHECK((curve[1].recall == 1.0 && curve[1].precision == 2.0 / 3 && curve[1].score == 0.7));
}

TEST_CASE("a detection of a difficult object is neither hit nor false alarm") {
    Scene scene;
    scene.image(1);
    scene.object(square(0, 50), 0, kDifficult);
    scene.object(square(200, 50));
    scene.detection(square(0, 50), 0.9);
    scene.detection(square(0, 50), 0.85);
    scene.detection(square(200, 50), 0.8);
    for (const auto rule : {kVoc07, kVoc10}) {
        const DetectionMetric metric = measure(scene, rule);
        CHECK(metric.mean_average_precision == 1.0);
        CHECK(metric.classes[0].objects == 1);
        CHECK(metric.classes[0].detections == 3);
    }
    // COCO ignores one detection of it; the second finds it taken, and is a false alarm.
    CHECK(near(mean_of(scene, kCoco), 0.5));
}

TEST_CASE("a detection belongs to the object that it overlaps most in VOC, to a free one in COCO") {
    Scene scene;
    scene.image(1);
    scene.object(Box::of_size(0, 0, 100, 100));
    scene.object(Box::of_size(0, 0, 100, 60));
    scene.detection(Box::of_size(0, 0, 100, 100), 0.9);
    scene.detection(Box::of_size(0, 0, 100, 90), 0.8);  // .9 of the first, .67 of the second
    CHECK(near(mean_of(scene, kVoc10), 0.5));
    CHECK(near(measure(scene, kCoco).coco[1], 1.0));
}

TEST_CASE("an overlap that equals the threshold is enough") {
    Scene scene;
    scene.image(1);
    scene.object(Box::of_size(0, 0, 10, 10));
    scene.detection(Box::of_size(0, 0, 10, 5), 0.9);
    CHECK(mean_of(scene, kVoc10) == 1.0);
    CHECK(near(measure(scene, kCoco).coco[1], 1.0));
    CHECK(measure(scene, kVoc10, 1, 0.51).mean_average_precision == 0.0);
}

TEST_CASE("a pixel more on each side is the VOC kit's overlap") {
    Scene scene;
    scene.image(1);
    scene.object(Box::of_corners(0, 0, 9, 9));
    scene.detection(Box::of_corners(0, 0, 9, 4), 0.9);
    // 10 x 5 of 10 x 10 pixels; without the pixel, 9 x 4 of 9 x 9.
    CHECK(measure(scene, kVoc10, 1, 0.5, 1.0).mean_average_precision == 1.0);
    CHECK(measure(scene, kVoc10, 1, 0.5, 0.0).mean_average_precision == 0.0);
}

TEST_CASE("a class without objects has no number and stays out of the mean") {
    Scene scene;
    scene.image(1);
    scene.object(square(0, 50), 0);
    scene.detection(square(0, 50), 0.9, 0);
    scene.detection(square(0, 50), 0.9, 1);
    scene.object(square(300, 50), 2, kDifficult);
    for (const auto rule : {kCoco, kVoc07, kVoc10}) {
        const DetectionMetric metric = measure(scene, rule, 3);
        CHECK(near(metric.mean_average_precision, 1.0));
        CHECK(metric.classes[1].average_precision == kNoObjects);
        CHECK(metric.classes[1].detections == 1);
        CHECK(metric.classes[2].average_precision == kNoObjects);
    }
}

TEST_CASE("without detections precision and recall are 0, without anything there is no number") {
    Scene scene;
    scene.image(1);
    for (const auto rule : {kCoco, kVoc07, kVoc10}) {
        CHECK(mean_of(scene, rule) == kNoObjects);
        CHECK(mean_of(Scene(), rule) == kNoObjects);
        CHECK(measure(Scene(), rule, 0).classes.empty());
    }
    scene.object(square(0, 50));
    for (const auto rule : {kCoco, kVoc07, kVoc10}) {
        CHECK(mean_of(scene, rule) == 0.0);
        CHECK(measure(scene, rule).classes[0].recall == 0.0);
    }
}

TEST_CASE("a crowd takes any number of detections that lie in it") {
    Scene scene;
    scene.image(1);
    scene.object(Box::of_size(0, 0, 400, 400), 0, kCrowd);
    scene.object(square(1000, 50));
    for (int i = 0; i < 5; ++i) scene.detection(square(50.0 * i, 40), 0.9);
    scene.detection(square(1000, 50), 0.1);
    scene.detection(square(390, 40), 0.9);  // a quarter of it lies in the crowd: a false alarm
    CHECK(near(mean_of(scene, kCoco), 0.5));
    CHECK(measure(scene, kCoco).classes[0].objects == 1);
}

TEST_CASE("COCO looks at the hundred best detections of an image and class, and at fewer") {
    Scene scene;
    scene.image(1);
    scene.object(square(0, 50));
    for (int i = 0; i < 100; ++i) scene.detection(square(100.0 + 60 * i, 50), 0.9);
    scene.detection(square(0, 50), 0.1);
    CHECK(mean_of(scene, kCoco) == 0.0);
    CHECK(near(mean_of(scene, kVoc10), 1.0 / 101));
    scene.scores.back() = 0.95;
    std::rotate(scene.scores.begin(), scene.scores.begin() + 6, scene.scores.end());
    std::rotate(scene.boxes.begin(), scene.boxes.begin() + 6, scene.boxes.end());
    CHECK(near(measure(scene, kCoco).coco[6], 1.0));
    scene.scores[94] = 0.9;  // the hit is now number 95 of equals
    CHECK(measure(scene, kCoco).coco[7] == 0.0);
    CHECK(near(measure(scene, kCoco).coco[8], 1.0));
}

TEST_CASE("an object has the size that its annotation says") {
    Scene scene;
    scene.image(1);
    scene.object(square(0, 50), 0, 0,
                 900.0);  // its outline is smaller than its box: a small object
    scene.detection(square(0, 50), 0.9);
    scene.detection(square(500, 200), 0.95);  // large, so no false alarm among the small
    const auto numbers = measure(scene, kCoco).coco;
    CHECK(near(numbers[0], 0.5));
    CHECK(near(numbers[3], 1.0));
    CHECK((numbers[4] == kNoObjects && numbers[5] == kNoObjects));
}

TEST_CASE("COCO's numbers are those of the plain reference") {
    for (std::uint32_t seed = 1; seed <= 8; ++seed) {
        CAPTURE(seed);
        const int classes = seed % 2 == 0 ? 3 : 1;
        const Scene scene = random_scene(seed, 12, classes);
        const auto expected = CocoReference(scene, classes).numbers();
        const auto found = measure(scene, kCoco, classes).coco;
        for (std::size_t i = 0; i < expected.size(); ++i) {
            INFO(kCocoNumbers[i] << " " << found[i] << " " << expected[i]);
            CHECK(near(found[i], expected[i]));
        }
    }
}

TEST_CASE("the metric has the same bits for any number of ranks and distribution of images") {
    constexpr int kImages = 40, kClasses = 5;
    const Scene scene = random_scene(99, kImages, kClasses);
    for (const auto rule : {kCoco, kVoc07, kVoc10}) {
        const DetectionMetric alone = measure(scene, rule, kClasses);
        on_all_ranks([&](Collective& collective) {
            std::vector<std::size_t> own;
            for (std::size_t i = kImages; i-- > 0;) {
                if (static_cast<int>(i * i + 3 * i) % collective.size() == collective.rank()) {
                    own.push_back(i);
                }
            }
            const Scene part = scene.part(own);
            DetectionMetricOptions options;
            options.rule = rule;
            options.voc_pixel = 0.0;
            options.curves = true;
            const auto metric =
                measure_detections(part.truth(), part.detections(), kClasses, options, collective);
            CHECK_ON_RANK(collective,
                          metric.mean_average_precision == alone.mean_average_precision);
            CHECK_ON_RANK(collective, metric.coco == alone.coco);
            for (std::size_t c = 0; c < kClasses; ++c) {
                const ClassPrecision &found = metric.classes[c], &expected = alone.classes[c];
                CHECK_ON_RANK(collective, found.objects == expected.objects);
                CHECK_ON_RANK(collective, found.detections == expected.detections);
                CHECK_ON_RANK(collective, found.average_precision == expected.average_precision);
                CHECK_ON_RANK(collective, found.recall == expected.recall);
            }
            REQUIRE_ALL(collective, metric.curves.size() == alone.curves.size());
            bool same = true;
            for (std::size_t i = 0; i < alone.curves.size(); ++i) {
                const PrecisionPoint &a = metric.curves[i], &b = alone.curves[i];
                same = same && a.class_index == b.class_index && a.recall == b.recall &&
                       a.precision == b.precision && a.score == b.score;
            }
            CHECK_ON_RANK(collective, same);
        });
    }
}

TEST_CASE("a box that is no box is refused on all ranks") {
    on_all_ranks([](Collective& collective) {
        Scene scene;
        scene.image(collective.rank());
        scene.object(square(0, 50));
        scene.detection(square(0, 50), collective.rank() == collective.size() - 1 ? NAN : 0.5);
        bool thrown = false;
        try {
            static_cast<void>(
                measure_detections(scene.truth(), scene.detections(), 1, {}, collective));
        } catch (const Error& error) {
            thrown = std::string(error.what()).find("score nan") != std::string::npos;
        }
        CHECK_ON_RANK(collective, thrown);
    });
}
