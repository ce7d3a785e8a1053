// COCO's files of boxes: what is read, what is passed over, and the words for what is wrong.

#include <fmt/format.h>

#include <fstream>

#include "io/detections/coco_boxes.hpp"
#include "io/detections/coco_json.hpp"
#include "tests/io/support.hpp"
#include "tests/support/catch.hpp"

using namespace thresher;
using namespace thresher::test;

namespace {

std::string instances_json(const std::string& annotations) {
    return R"({"info": {"year": 2014, "id": [1, {"bbox": [9]}]},
 "images": [{"id": 7, "file_name": "b.jpg", "width": 640, "height": 480}, {"id": 3}],
 "annotations": [)" +
           annotations + R"(],
 "categories": [{"id": 18, "name": "dog"}, {"id": 2, "name": "cat", "supercategory": "animal"}]})";
}

const std::string kPlain =
    R"({"id": 5, "image_id": 7, "category_id": 2, "bbox": [1, 2.5, 30, 40], "iscrowd": 0, "area": 900.25})";

/// The problems of instances, as a person reads them.
std::string problems_of(const std::string& text, bool boxes_too = true) {
    return message_of([&] {
        io::ProblemList problems;
        const auto instances = io::parse_coco_instances(text, "truth.json", problems);
        if (boxes_too) io::list_box_problems(instances, problems);
        problems.report("truth.json");
    });
}

std::string problems_of_results(const std::string& text) {
    return message_of([&] {
        io::ProblemList problems;
        io::parse_coco_results(text, "found.json", problems, [](auto, const auto&) {});
        problems.report("found.json");
    });
}

}  // namespace

TEST_CASE("instances are read as they are written") {
    io::ProblemList problems;
    const auto read = io::parse_coco_instances(
        instances_json(kPlain + R"(, {"iscrowd": 1, "bbox": [0, 0, 2, 3], "category_id": 18,
            "image_id": 3.0, "id": -6, "difficult": true, "attributes": {"bbox": [1], "id": 4}})"),
        "truth.json", problems);
    problems.report("truth.json");
    REQUIRE(read.images.size() == 2);
    CHECK((read.images[0].id == 7 && read.images[0].file_name == "b.jpg"));
    CHECK((read.images[0].width == 640 && read.images[0].height == 480));
    CHECK((read.images[1].id == 3 && read.images[1].file_name.empty()));
    REQUIRE(read.categories.size() == 2);
    CHECK((read.categories[0].id == 18 && read.categories[0].name == "dog"));
    REQUIRE(read.annotations.size() == 2);
    const auto &first = read.annotations[0], &second = read.annotations[1];
    CHECK((first.id == 5 && first.image_id == 7 && first.category_id == 2));
    CHECK((first.box.x == 1 && first.box.y == 2.5 && first.box.width == 30));
    CHECK((first.box.height == 40 && first.area == 900.25 && !first.crowd && !first.ignore));
    CHECK((second.id == -6 && second.image_id == 3 && second.area == 6.0));
    CHECK((second.crowd && second.ignore));
}

TEST_CASE("segmentations of any form are passed over") {
    for (const char* segmentation :
         {"[[1, 2.5, 3e2], [4]]", R"({"counts": "a]}\"[\\", "size": [2, 3]})", "[]", "null", "17",
          R"("text, with } and ]")", "[nonsense that is no JSON {]}"}) {
        CAPTURE(segmentation);
        io::ProblemList problems;
        const auto read = io::parse_coco_instances(
            instances_json(
                fmt::format(R"({{"id": 5, "segmentation" : {}, "image_id": 7, "category_id": 2,
                             "bbox": [1, 2, 3, 4]}}, {{"image_id": 3, "category_id": 18, "id": 6,
                             "bbox": [1, 2, 3, 4], "segmentation":{}}})",
                            segmentation, segmentation)),
            "truth.json", problems);
        problems.report("truth.json");
        REQUIRE(read.annotations.size() == 2);
        CHECK((read.annotations[0].image_id == 7 && read.annotations[1].image_id == 3));
    }
}

TEST_CASE("a file that is larger than what is read at once is read whole") {
    const TemporaryDirectory directory;
    std::string annotations, polygon = "[[";
    while (polygon.size() < 50000) polygon += "123.45, ";
    polygon += "0]]";
    constexpr int kAnnotations = 100;  // 5 MB
    for (int i = 0; i < kAnnotations; ++i) {
        annotations += fmt::format(
            R"({}{{"segmentation": {}, "id": {}, "image_id": 7, "category_id": 2, "bbox": [{}, 0, 1, 1]}})",
            i == 0 ? "" : ",\n", polygon, i, i);
    }
    const std::string text = instances_json(annotations), path = directory / "truth.json";
    std::ofstream(path) << text;
    io::ProblemList problems;
    const auto read = io::read_coco_instances(path, problems);
    problems.report(path);
    REQUIRE(read.annotations.size() == kAnnotations);
    for (int i = 0; i < kAnnotations; ++i) {
        CHECK(read.annotations[static_cast<std::size_t>(i)].box.x == i);
    }
    // The byte that is told is that of the file, segmentations counted.
    const std::size_t broken = text.rfind("\"image_id\"");
    std::string changed = text;
    changed[broken] = '?';
    std::ofstream(path) << changed;
    const std::string message = message_of([&] { io::read_coco_instances(path, problems); });
    CHECK(contains(message, fmt::format("byte {}", broken + 1)));
    CHECK(contains(message, "annotations 99"));
}

TEST_CASE("what is wrong with instances is said by name") {
    const auto with = [](const std::string& annotation) {
        return problems_of(instances_json(kPlain + ", " + annotation));
    };
    CHECK(problems_of(instances_json(kPlain)) == "nothing was thrown");
    CHECK(contains(with(kPlain), "annotation id 5 is there 2 times"));
    CHECK(contains(with(R"({"id": 6, "image_id": 8, "category_id": 2, "bbox": [1, 2, 3, 4]})"),
                   "annotation 6 is of image 8, which is not among the images"));
    CHECK(contains(with(R"({"id": 6, "image_id": 7, "category_id": 1, "bbox": [1, 2, 3, 4]})"),
                   "annotation 6 is of category 1"));
    CHECK(contains(with(R"({"id": 6, "image_id": 7, "category_id": 2, "bbox": [1, 2, -3, 4]})"),
                   "annotation 6 has the box [1, 2, -3, 4], which has a negative size"));
    CHECK(contains(with(R"({"id": 6, "image_id": 7, "category_id": 2, "bbox": [1, null, 3, 4]})"),
                   "annotation 6 has the box [1, nan, 3, 4], which is not finite"));
    for (const char* box : {"[1, \"x\", 2, 3, 4]", "[1, 2, 3, {\"a\": 4}]", "[1, 2, 3, 4, [5]]",
                            "[1, 2, 3, true]", "[1, 2, [3], 4]"}) {
        const std::string json = R"({"id": 6, "image_id": 7, "category_id": 2, "bbox": )";
        CHECK(contains(with(json + box + "}"), "annotation"));
    }
    CHECK(with(R"({"id": 6, "image_id": 7, "category_id": 2, "bbox": [1, 2, 0, 4]})") ==
          "nothing was thrown");
    CHECK(contains(with(R"({"id": 6, "image_id": 7, "category_id": 2, "bbox": [1, 2, 3]})"),
                   "annotations 1 (id 6) lacks \"bbox\" [x, y, width, height]"));
    CHECK(contains(
        with(
            R"({"id": 6, "image_id": 7, "category_id": 2, "bbox": {"x": 1, "y": 2, "w": 3, "h": 4}})"),
        "lacks \"bbox\""));
    CHECK(contains(with(R"({"id": 6, "image_id": "7", "category_id": 2, "bbox": [1, 2, 3, 4]})"),
                   "lacks a whole number \"image_id\""));
    CHECK(contains(with("[17]"), "annotations 1 lacks a whole number \"id\""));
    CHECK(contains(with("17"), "annotations 1 lacks a whole number \"id\""));
    CHECK(contains(problems_of(R"({"images": [], "annotations": {"a": []}})"),
                   "there is no list \"annotations\""));
    CHECK(contains(problems_of(R"({"images": [{"id": 1}, {"id": 1}], "annotations": [],
                                  "categories": [{"id": 2}, {"id": 2}]})"),
                   "image id 1 is there 2 times"));
}

TEST_CASE("what is no JSON is refused with its byte") {
    CHECK(contains(problems_of(""), "truth.json: is empty"));
    CHECK(contains(problems_of("[]"), "begins with [, but COCO instances are an object {"));
    CHECK(contains(problems_of("5"), "there is no list \"images\""));
    CHECK(contains(problems_of(R"({"images": [)"), "byte 12"));
    CHECK(contains(problems_of(R"({"images": [{"id" 4}]})"), "byte 20, in images 0: syntax"));
    CHECK(contains(problems_of(instances_json(
                       R"({"id": 6, "image_id": 7, "category_id": 2, "bbox": [1, NaN, 3, 4]})")),
                   "JSON has neither NaN nor Infinity"));
    CHECK(contains(problems_of(instances_json(
                       R"({"id": 6, "image_id": 7, "category_id": 2, "bbox": [1, 1e999, 3, 4]})")),
                   "in annotations 0: number overflow"));
    // Cut anywhere, it is refused; also within a segmentation.
    const std::string whole = instances_json(
        R"({"segmentation": [[1, 2, 3]], "id": 6, "image_id": 7, "category_id": 2, "bbox": [1, 2, 3, 4]})");
    for (std::size_t bytes = 0; bytes < whole.size(); ++bytes) {
        CAPTURE(bytes);
        CHECK(contains(problems_of(whole.substr(0, bytes)), "JSON"));
    }
    CHECK(contains(message_of([] {
                       io::ProblemList problems;
                       static_cast<void>(io::read_coco_instances("/nowhere/x.json", problems));
                   }),
                   "/nowhere/x.json: cannot be read"));
}

TEST_CASE("results are read back as they were written") {
    const TemporaryDirectory directory;
    const std::string path = directory / "found.json";
    const std::vector<io::CocoDetection> written{{7, 2, {0.1, -1.0 / 3, 1e-7, 1e20}, 0.3},
                                                 {3, 18, {0, 0, 0, 0}, -2.5}};
    io::write_coco_results(path, written, io::Overwrite::no);
    io::ProblemList problems;
    std::vector<io::CocoDetection> read;
    io::read_coco_results(path, problems, [&](std::int64_t position, const auto& detection) {
        CHECK(position == std::ssize(read));
        read.push_back(detection);
    });
    problems.report(path);
    REQUIRE(read.size() == written.size());
    for (std::size_t i = 0; i < read.size(); ++i) {
        const auto &a = read[i], &b = written[i];
        CHECK((a.image_id == b.image_id && a.category_id == b.category_id && a.score == b.score));
        CHECK((a.box.x == b.box.x && a.box.y == b.box.y && a.box.width == b.box.width &&
               a.box.height == b.box.height));
    }
    io::write_coco_results(path, {}, io::Overwrite::yes);
    io::read_coco_results(path, problems, [](auto, const auto&) { FAIL("there is none"); });
    CHECK(contains(message_of([&] {
                       io::write_coco_results(
                           path, std::vector{io::CocoDetection{1, 2, {0, 0, -1, 1}, 0.5}},
                           io::Overwrite::yes);
                   }),
                   "negative size"));
}

TEST_CASE("what is wrong with results is said by name") {
    CHECK(problems_of_results("[]") == "nothing was thrown");
    CHECK(contains(problems_of_results(""), "found.json: is empty"));
    CHECK(contains(problems_of_results("{}"), "begins with {, but COCO results are a list ["));
    CHECK(contains(problems_of_results("null"), "holds no list"));
    CHECK(contains(problems_of_results(R"([{"image_id": 7, "category_id": 2, "score": 0.5}])"),
                   "detections 0 lacks \"bbox\""));
    CHECK(contains(
        problems_of_results(R"([{"image_id": 7, "category_id": 2, "bbox": [1, 2, 3, 4]}])"),
        "detections 0 lacks a number \"score\""));
    CHECK(contains(problems_of_results(
                       R"([{"image_id": 7, "category_id": 2, "bbox": [1, 2, 3, -4], "score": 1}])"),
                   "detections 0 has the box [1, 2, 3, -4]"));
}

TEST_CASE("ranks share the images out, and know detections of images that are not there") {
    const TemporaryDirectory directory;
    const std::string path = directory / "found.json";
    io::ProblemList problems;
    const auto instances = io::parse_coco_instances(instances_json(kPlain), "truth", problems);
    io::write_coco_results(path,
                           std::vector<io::CocoDetection>{{7, 2, {1, 2, 3, 4}, 0.5},
                                                          {3, 18, {1, 2, 3, 4}, 0.25},
                                                          {4, 18, {1, 2, 3, 4}, 0.5},
                                                          {7, 1, {1, 2, 3, 4}, 0.5}},
                           io::Overwrite::no);
    for (const int rank : {0, 1}) {
        io::ProblemList own;
        io::CocoBoxes boxes(instances, io::SetAside::crowds, rank, 2);
        boxes.read_detections(path, own);
        CHECK(own.count() == 2);
        const std::string message = message_of([&] { own.report(path); });
        CHECK(contains(message, "detections 2 is of image 4, which the ground truth does not"));
        CHECK(contains(message, "detections 3 is of category 1, which the ground truth does not"));
        REQUIRE(boxes.truth().image_ids.size() == 1);
        CHECK(boxes.truth().image_ids[0] == (rank == 0 ? 3 : 7));
        CHECK(boxes.truth().boxes.size() == static_cast<std::size_t>(rank));
        REQUIRE(boxes.detections().scores.size() == 1);
        CHECK(boxes.detections().scores[0] == (rank == 0 ? 0.25 : 0.5));
        CHECK(boxes.detections().classes[0] == (rank == 0 ? 1 : 0));  // dog, cat by their ids
        CHECK(boxes.class_names() == std::vector<std::string>{"cat", "dog"});
    }
}
