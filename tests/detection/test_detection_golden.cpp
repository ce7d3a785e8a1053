// The metric against the numbers of others, where they are at hand.

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "io/detections/coco_boxes.hpp"
#include "src/detection/average_precision.hpp"
#include "tests/detection/scenes.hpp"
#include "tests/support/ranks.hpp"

using namespace thresher;
using namespace thresher::test;

namespace fs = std::filesystem;

namespace {

/// A folder of reference data and what is expected of it; null where it is absent, which it says.
nlohmann::json expected_in(const fs::path& folder) {
    std::ifstream file(folder / "expected.json");
    if (!file) {
        WARN("skipped: no " << folder.string());
        return nullptr;
    }
    return nlohmann::json::parse(file);
}

bool near(double found, double expected, double tolerance) {
    return std::abs(found - expected) <= tolerance;
}

/// A text file of boxes for each image: class, score if any, x, y, width, height.
void read_boxes(const fs::path& file, bool with_score, Scene& scene) {
    std::ifstream lines(file);
    for (std::string line; std::getline(lines, line);) {
        std::istringstream words(line);
        std::string name;
        double score = 0, x = 0, y = 0, width = 0, height = 0;
        words >> name;
        if (with_score) words >> score;
        if (!(words >> x >> y >> width >> height)) continue;
        const Box box = Box::of_size(x, y, width, height);
        if (with_score) {
            scene.detection(box, score);
        } else {
            scene.object(box);
        }
    }
}

}  // namespace

TEST_CASE("COCO's numbers are those of pycocotools, over any number of ranks") {
    const fs::path folder = fs::path(THRESHER_DATA_DIR) / "golden/cocoapi-val2014-100";
    const auto expected = expected_in(folder);
    if (expected.is_null()) return;
    io::ProblemList problems;
    const auto instances =
        io::read_coco_instances((folder / "instances_val2014_100.json").string(), problems);
    CHECK(problems.count() == 0);
    CHECK(instances.images.size() == 100);
    CHECK(instances.categories.size() == 80);
    on_all_ranks([&](Collective& collective) {
        io::ProblemList own_problems;
        io::CocoBoxes boxes(instances, io::SetAside::crowds, collective.rank(), collective.size());
        boxes.read_detections((folder / "instances_val2014_fakebbox100_results.json").string(),
                              own_problems);
        CHECK_ON_RANK(collective, own_problems.count() == 0);
        const auto metric =
            measure_detections(boxes.truth(), boxes.detections(), 80, {}, collective);
        for (std::size_t i = 0; i < kCocoNumbers.size(); ++i) {
            const double wanted = expected["bbox"][std::string(kCocoNumbers[i])];
            CHECK_ON_RANK(collective, near(metric.coco[i], wanted, 1e-12));
        }
    });
}

TEST_CASE("VOC's averages are those of the Pascal case, whose sides are a pixel longer") {
    const fs::path folder = fs::path(THRESHER_DATA_DIR) / "golden/pascal-ap-test_case_1";
    const auto expected = expected_in(folder);
    if (expected.is_null()) return;
    Scene scene;
    for (int image = 1; image <= 7; ++image) {
        scene.image(image);
        const std::string name = "0000" + std::to_string(image) + ".txt";
        read_boxes(folder / "gts" / name, false, scene);
        read_boxes(folder / "dets" / name, true, scene);
    }
    CHECK(scene.truth_boxes.size() == 15);
    CHECK(scene.boxes.size() == 24);
    const auto alone = make_local_collective();
    for (std::size_t i = 0; i < expected["iou_thresholds"].size(); ++i) {
        DetectionMetricOptions options;
        options.voc_threshold = expected["iou_thresholds"][i];
        CAPTURE(options.voc_threshold);
        const auto mean = [&](DetectionRule rule) {
            options.rule = rule;
            return measure_detections(scene.truth(), scene.detections(), 1, options, *alone)
                .mean_average_precision;
        };
        // They are given to ten digits, cut off behind them.
        CHECK(near(mean(DetectionRule::voc07), expected["eleven_point"][i], 1e-10));
        CHECK(near(mean(DetectionRule::voc10), expected["every_point"][i], 1e-10));
    }
}
