#include <algorithm>
#include <filesystem>
#include <set>

#include "io/hdf5/file.hpp"
#include "io/importers/importers.hpp"
#include "io/importers/voc_annotation.hpp"
#include "tests/io/jpeg_support.hpp"
#include "tests/io/png_support.hpp"
#include "tests/io/support.hpp"
#include "tests/support/ranks.hpp"

using namespace thresher;
using namespace thresher::io;
using namespace thresher::test;

namespace {

using Files = std::vector<std::pair<std::string, std::string>>;

struct Object {
    std::string name, box;  ///< "1 1 20 10"
    std::string more = {};
};

std::string annotation_of(unsigned width, unsigned height, const std::vector<Object>& objects) {
    std::string xml = fmt::format(
        "<annotation><filename>x</filename><size><width>{}</width><height>{}</height></size>",
        width, height);
    for (const auto& [name, box, more] : objects) {
        std::string edges[4];
        std::size_t i = 0;
        for (char c : box) {
            if (c == ' ') {
                ++i;
            } else {
                edges[i] += c;
            }
        }
        xml += fmt::format(
            "<object><name>{}</name>{}<bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax>"
            "<ymax>{}</ymax></bndbox></object>",
            name, more, edges[0], edges[1], edges[2], edges[3]);
    }
    return xml + "</annotation>\n";
}

/// Writes the files into a folder, or as an archive, and imports that.
struct Source {
    Source(const std::string& importer, const Files& files, bool archive = false)
        : format(importer) {
        options.source = directory / (archive ? "pack.tar" : "folder");
        options.output = directory / "pool.h5";
        options.size = 10;
        options.overwrite = Overwrite::yes;
        options.max_bad = BadLimit::parse("100%");
        if (archive) {
            write_file(options.source, tar_of(files), Overwrite::no);
            return;
        }
        for (const auto& [name, content] : files) {
            const std::filesystem::path path = options.source + "/" + name;
            std::filesystem::create_directories(path.parent_path());
            write_file(path, content, Overwrite::no);
        }
    }

    ImportReport import() const { return import_pool(format, options, {}); }
    std::string message() const {
        return message_of([&] { import(); });
    }
    PoolFile pool() const { return open_pool(options.output); }
    Boxes boxes() const {
        Boxes boxes;
        const PoolFile pool = this->pool();
        pool.read_boxes({0, pool.info().rows}, boxes);
        return boxes;
    }

    std::string format;
    TemporaryDirectory directory;
    ImportOptions options;
};

std::vector<std::string> reasons_of(const ImportReport& report) {
    std::vector<std::string> reasons;
    for (const QuarantinedRow& row : report.quarantined) reasons.push_back(row.reason);
    return reasons;
}

bool has_reason(const ImportReport& report, const std::string& part) {
    const auto reasons = reasons_of(report);
    return std::any_of(reasons.begin(), reasons.end(),
                       [&](const std::string& reason) { return contains(reason, part); });
}

/// Two good images of 20 x 10 in either order of names, and one without an object.
Files voc_files() {
    return {{"VOC/JPEGImages/b.jpg", rgb_jpeg_of({200, 10, 10}, 20, 10)},
            {"VOC/JPEGImages/a.JPG", jpeg_of(50, 20, 10)},
            {"VOC/JPEGImages/c.png", png_of(std::vector<unsigned char>(200, 9), 10, 20, false)},
            {"VOC/Annotations/b.xml",
             annotation_of(
                 20, 10, {{"dog", "1 1 20 10"}, {"cat", "3.0 1 4 2", "<difficult>1</difficult>"}})},
            {"VOC/Annotations/a.XML", annotation_of(20, 10, {{"dog", "11 5 20 10"}})},
            {"VOC/Annotations/c.xml", annotation_of(10, 20, {})},
            {"VOC/ImageSets/Main/train.txt", "b\nc\n"},
            {"VOC/ImageSets/Main/test.txt", "a \r\n"}};
}

}  // namespace

TEST_CASE("VOC's pixels from 1, the last included, become edges from 0") {
    const VocAnnotation annotation =
        parse_voc_annotation(annotation_of(20, 10, {{"dog", "1 1 20 10"}, {"dog", "3 4 5 7"}}));
    REQUIRE(annotation.objects.size() == 2);
    const VocObject& whole = annotation.objects[0];
    CHECK((whole.x0 == 0 && whole.y0 == 0 && whole.x1 == 20 && whole.y1 == 10));
    const VocObject& part = annotation.objects[1];
    CHECK((part.x0 == 2 && part.y0 == 3 && part.x1 == 5 && part.y1 == 7));  // 3 x 4 pixels
}

TEST_CASE("a VOC folder or archive becomes a pool with boxes, letter-boxed with their images") {
    for (const bool archive : {false, true}) {
        CAPTURE(archive);
        Source source("voc", voc_files(), archive);
        const ImportReport report = source.import();
        CHECK(report.quarantined.empty());
        CHECK(report.notes.empty());
        CHECK(report.pool.rows == 3);
        CHECK(report.pool.input_shape == std::vector<std::int64_t>{3, 10, 10});
        CHECK(report.pool.class_names == std::vector<std::string>{"cat", "dog"});
        const PoolFile pool = source.pool();
        CHECK(pool.read_names({0, 3}) == std::vector<std::string>{"VOC/JPEGImages/a.JPG",
                                                                  "VOC/JPEGImages/b.jpg",
                                                                  "VOC/JPEGImages/c.png"});
        const Boxes boxes = source.boxes();
        CHECK(boxes.offsets == std::vector<std::int64_t>{0, 1, 3, 3});
        // Half the size: 11 5 20 10 has the edges 10 4 20 10.
        CHECK(boxes.corners == std::vector<float>{5, 2, 10, 5, 0, 0, 10, 5, 1, 0, 2, 1});
        CHECK(boxes.classes == std::vector<std::int64_t>{1, 1, 0});
        CHECK(boxes.flags == std::vector<std::uint8_t>{0, 0, kDifficult});
        CHECK(boxes.image_sizes == std::vector<std::int32_t>{10, 20, 10, 20, 20, 10});
        CHECK_FALSE(pool.info().has_box_areas);
        std::vector<std::byte> inputs(3 * 300);
        pool.read_inputs({0, 3}, inputs);
        const auto value = [&](std::size_t row, std::size_t c, std::size_t y, std::size_t x) {
            return std::to_integer<int>(inputs[((row * 3 + c) * 10 + y) * 10 + x]);
        };
        CHECK(value(0, 2, 4, 9) == Approx(50).margin(3));
        CHECK(value(0, 2, 5, 9) == 114);  // below the image
        CHECK(value(1, 0, 0, 0) == Approx(200).margin(3));
        CHECK(value(1, 1, 0, 0) == Approx(10).margin(3));
        CHECK((value(2, 0, 9, 4) == 9 && value(2, 0, 9, 5) == 114));  // right of it
    }
}

TEST_CASE("all image sets of a VOC source have the same classes") {
    Source source("voc", voc_files());
    source.options.image_set = "test";
    ImportReport report = source.import();
    CHECK(report.pool.rows == 1);
    CHECK(report.pool.class_names == std::vector<std::string>{"cat", "dog"});
    CHECK(source.boxes().classes == std::vector<std::int64_t>{1});
    source.options.image_set = "train";
    CHECK(source.import().pool.rows == 2);
    CHECK(source.pool().read_names({0, 1})[0] == "VOC/JPEGImages/b.jpg");  // the list's order
    source.options.image_set = "val";
    CHECK(contains(source.message(),
                   "has no list VOC/ImageSets/Main/val.txt (--set val); lists "
                   "there: VOC/ImageSets/Main/test.txt, "));
}

TEST_CASE("the class of an image that is missing is one of every set") {
    Files files = voc_files();
    files.emplace_back("VOC/Annotations/gone.xml",
                       annotation_of(20, 10, {{"aeroplane", "1 1 2 2"}}));
    for (auto& [name, content] : files) {
        if (name.ends_with("train.txt")) content += "gone\n";
    }
    Source source("voc", files);
    for (const char* set : {"train", "test", ""}) {
        CAPTURE(set);
        source.options.image_set = set;
        CHECK(source.import().pool.class_names ==
              std::vector<std::string>{"aeroplane", "cat", "dog"});
    }
}

TEST_CASE("images of one name in several folders are told apart by the folder") {
    const std::string instances =
        R"({"images": [{"id": 1, "file_name": "left/a.jpg"}, {"id": 2, "file_name": "right/a.jpg"}],
            "categories": [{"id": 1, "name": "dog"}], "annotations": []})";
    Source source("coco", {{"coco/instances.json", instances},
                           {"coco/left/a.jpg", jpeg_of(50, 20, 10)},
                           {"coco/right/a.jpg", jpeg_of(90, 20, 10)}});
    CHECK(source.import().quarantined.empty());
    CHECK(source.pool().read_names({0, 2}) ==
          std::vector<std::string>{"coco/left/a.jpg", "coco/right/a.jpg"});
}

TEST_CASE("classes are given, renamed and left out") {
    Source source("voc", voc_files());
    source.options.class_names = {"dog", "cat"};
    CHECK(source.import().pool.class_names == source.options.class_names);
    CHECK(source.boxes().classes == std::vector<std::int64_t>{0, 0, 1});
    source.options.class_names = {"dog"};
    const ImportReport report = source.import();
    REQUIRE(report.quarantined.size() == 1);
    CHECK(report.quarantined[0].id == 1);
    CHECK(contains(report.quarantined[0].reason,
                   "VOC/Annotations/b.xml: object 2 (cat) is bad: the class \"cat\" is none of "
                   "--class-names"));
    source.options.max_bad = BadLimit::parse("1%");
    CHECK(contains(source.message(), "1 of 3 boxes are bad, more than the 0 that --max-bad 1%"));
    source.options.class_map = {"cat="};
    CHECK(source.import().notes ==
          std::vector<std::string>{"1 boxes were left out by --class-map"});
    CHECK(source.boxes().offsets == std::vector<std::int64_t>{0, 1, 2, 2});
    source.options.class_names = {};
    source.options.class_map = {"cat=animal", "dog=animal"};
    CHECK(source.import().pool.class_names == std::vector<std::string>{"animal"});
    source.options.class_map = {"cow=animal"};
    CHECK(contains(source.message(), "--class-map has the class \"cow\""));
    source.options.class_map = {"cow"};
    CHECK(contains(source.message(), "--class-map has \"cow\"; expected old=new"));
}

TEST_CASE("what is wrong with VOC data is set apart by name") {
    const std::string jpeg = jpeg_of(50, 20, 10);
    Files files = voc_files();
    const auto add = [&](const std::string& name, const std::string& image,
                         const std::string& annotation) {
        if (!image.empty()) files.emplace_back("VOC/JPEGImages/" + name + ".jpg", image);
        if (!annotation.empty()) files.emplace_back("VOC/Annotations/" + name + ".xml", annotation);
    };
    add("d_cut", jpeg.substr(0, jpeg.size() - 20), annotation_of(20, 10, {{"dog", "1 1 2 2"}}));
    add("e_empty", " ", annotation_of(20, 10, {}));
    add("f_no_image", "", annotation_of(20, 10, {}));
    add("g_no_annotation", jpeg, "");
    add("h_no_xml", jpeg, "<annotation><object>");
    add("i_other_xml", jpeg, "<svg/>");
    add("j_turned", jpeg, annotation_of(10, 20, {{"dog", "1 1 2 2"}}));
    add("k_boxes", jpeg,
        annotation_of(0, 0,
                      {{"dog", "5 5 5 5"},  // no area
                       {"dog", "7 2 4 9"},  // left and right exchanged
                       {"dog", "nan 2 4 9"},
                       {"dog", "1 2 x 9"},
                       {"", "1 2 3 4"},
                       {"dog", "30 1 40 5"},  // outside
                       {"dog", "0 0 25 11"},  // reaches beyond
                       {"dog", "1 1 2 5"}}));
    for (const bool archive : {false, true}) {
        Source source("voc", files, archive);
        const ImportReport report = source.import();
        CHECK(report.pool.rows == 4);
        CHECK(report.quarantined.size() == 7 + 6);
        for (
            const char* reason :
            {"JPEGImages/d_cut.jpg: the JPEG cannot be decoded", "e_empty.jpg: the file is neither",
             "Annotations/f_no_image.xml: its image is missing",
             "JPEGImages/g_no_annotation.jpg: has no annotation",
             "Annotations/h_no_xml.xml: the XML cannot be read at byte",
             "Annotations/i_other_xml.xml: is no annotation as VOC has them",
             "j_turned.jpg: the annotation is of 10 x 20 pixels, the image has 20 x 10; was it "
             "turned?",
             "k_boxes.xml: object 1 (dog) has no area: 5, 5, 5, 5",
             "object 2 (dog) has no area: 7, 2, 4, 9",
             "object 3 (dog) has \"nan\" for xmin, which is no number",
             "object 4 (dog) has \"x\" for xmax", "object 5 () has no name",
             "k_boxes.jpg: object 6 (dog): nothing of 29, 0, 40, 5 lies in the image of 20 x 10"}) {
            CAPTURE(reason);
            CHECK(has_reason(report, reason));
        }
        CHECK(report.notes ==
              std::vector<std::string>{"1 boxes reached beyond their images and were cut"});
        const Boxes boxes = source.boxes();
        const RowRange last = boxes.of(3);
        REQUIRE(last.size() == 2);
        CHECK(std::vector<float>(boxes.corners.end() - 8, boxes.corners.end() - 4) ==
              std::vector<float>{0, 0, 10, 5});
    }
}

TEST_CASE("what is no VOC data is refused") {
    Source none("voc", {{"a/JPEGImages/x.jpg", jpeg_of(1, 8, 8)}});
    CHECK(contains(none.message(), "is no VOC data: expected a folder that holds JPEGImages and"));
    Files twice = voc_files();
    for (const auto& [name, content] : voc_files()) twice.emplace_back("two/" + name, content);
    CHECK(contains(Source("voc", twice).message(), "several folders (VOC/, two/VOC/)"));
    Files files = voc_files();
    files.emplace_back("VOC/ImageSets/Main/dog_train.txt", "a 1\nb -1\n");
    files.emplace_back("VOC/ImageSets/Main/twice.txt", "a\nz\na\n");
    Source source("voc", files);
    source.options.image_set = "dog_train";
    CHECK(contains(source.message(), "has the line \"a 1\"; expected one name a line"));
    source.options.image_set = "twice";
    const ImportReport report = source.import();
    CHECK(report.pool.rows == 1);
    CHECK((has_reason(report, "a is in the list twice") &&
           has_reason(report, "z has neither image nor annotation")));
    source.options.max_bad = {};
    CHECK(contains(source.message(), "2 of 3 rows are bad"));
}

namespace {

const std::string kCocoImages =
    R"("images": [{"id": 9, "file_name": "nine.jpg", "width": 20, "height": 10},
                  {"id": 4, "file_name": "some/where/four.jpg"},
                  {"id": 7, "file_name": "seven.jpg", "height": 10, "width": 20}])";
const std::string kCocoCategories =
    R"("categories": [{"id": 18, "name": "dog"}, {"id": 3, "name": "car"}])";

std::string coco_of(const std::string& annotations, const std::string& images = kCocoImages) {
    return "{\"info\": {}, \"annotations\": [" + annotations + "],\n" + images + ", " +
           kCocoCategories + "}";
}

Files coco_files(const std::string& instances) {
    return {{"coco/val/nine.jpg", rgb_jpeg_of({200, 10, 10}, 20, 10)},
            {"coco/val/four.jpg", jpeg_of(50, 20, 10)},
            {"coco/val/seven.jpg", jpeg_of(60, 20, 10)},
            {"coco/annotations/instances_val.json", instances},
            {"coco/annotations/captions_val.json", "{}"}};
}

}  // namespace

TEST_CASE("COCO's instances become a pool with boxes; images without annotations stay") {
    const std::string instances = coco_of(
        R"({"id": 1, "image_id": 4, "category_id": 3, "bbox": [2, 1, 8.5, 4], "area": 30.25,
            "iscrowd": 0, "segmentation": [[1, 2, {"odd": "]}"}]]},
           {"id": 2, "image_id": 9, "category_id": 18, "bbox": [0, 0, 20, 10], "iscrowd": 1,
            "segmentation": {"counts": "abc", "size": [10, 20]}},
           {"id": 3, "image_id": 4, "category_id": 18, "bbox": [10, 5, 2, 2], "area": 3})");
    for (const bool archive : {false, true}) {
        CAPTURE(archive);
        Source source("coco", coco_files(instances), archive);
        const ImportReport report = source.import();
        CHECK(report.quarantined.empty());
        CHECK(report.pool.rows == 3);
        CHECK(report.pool.class_names == std::vector<std::string>{"dog", "car"});
        const PoolFile pool = source.pool();
        std::vector<std::int64_t> ids(3);
        pool.read_ids({0, 3}, ids);
        CHECK(ids == std::vector<std::int64_t>{9, 4, 7});
        CHECK(pool.read_names({1, 2})[0] == "coco/val/four.jpg");
        const Boxes boxes = source.boxes();
        CHECK(boxes.offsets == std::vector<std::int64_t>{0, 1, 3, 3});
        CHECK(boxes.corners ==
              std::vector<float>{0, 0, 10, 5, 1, 0.5F, 5.25F, 2.5F, 5, 2.5F, 6, 3.5F});
        CHECK(boxes.classes == std::vector<std::int64_t>{0, 1, 0});
        CHECK(boxes.flags == std::vector<std::uint8_t>{kCrowd, 0, 0});
        CHECK(boxes.areas == std::vector<float>{200, 30.25F, 3});  // of the original image
        CHECK(boxes.image_sizes == std::vector<std::int32_t>{10, 20, 10, 20, 10, 20});
    }
}

TEST_CASE("what is wrong with COCO data is set apart by name") {
    const std::string images =
        R"("images": [{"id": 9, "file_name": "nine.jpg", "width": 20, "height": 10},
                      {"id": 9, "file_name": "four.jpg"},
                      {"file_name": "four.jpg"},
                      {"id": 5, "file_name": "gone.jpg"},
                      {"id": 7, "file_name": "seven.jpg", "height": 11, "width": 20},
                      {"id": 4, "file_name": "four.jpg"}])";
    const std::string instances = coco_of(
        R"({"id": 1, "image_id": 9, "category_id": 3, "bbox": [2, 1, 0, 4]},
           {"id": 2, "image_id": 9, "category_id": 3, "bbox": [2, 1, 3, -4]},
           {"id": 3, "image_id": 9, "category_id": 3, "bbox": [2, 1, 3]},
           {"id": 4, "image_id": 9, "category_id": 99, "bbox": [2, 1, 3, 3]},
           {"id": 5, "image_id": 77, "category_id": 3, "bbox": [2, 1, 3, 3]},
           {"id": 6, "category_id": 3, "bbox": [2, 1, 3, 3]},
           {"id": 7, "image_id": 9, "category_id": 3, "bbox": [2, 1, 3, 3]},
           {"id": 7, "image_id": 9, "category_id": 3, "bbox": [2, 1, 3, 3]},
           {"id": 8, "image_id": 9, "category_id": 3, "bbox": [2, 1, null, 3]},
           {"id": 9, "image_id": 9, "category_id": 3, "bbox": [18, 8, 9, 9]},
           {"id": 10, "image_id": 9, "category_id": 3, "bbox": [50, 50, 9, 9]},
           {"id": 11, "image_id": 5, "category_id": 3, "bbox": [1, 1, 9, 9]})",
        images);
    Source source("coco", coco_files(instances));
    const ImportReport report = source.import();
    CHECK(report.pool.rows == 2);
    for (const char* reason :
         {"images[1]: the id 9 is there twice", "images[2] lacks its id or its file_name",
          "gone.jpg: the image is missing",
          "seven.jpg: the annotation is of 20 x 11 pixels, the image has 20 x 10",
          "annotation 1 has no area", "annotation 2 has no area",
          "annotation 3 has no bbox of four numbers", "annotation 4 is of category 99",
          "annotation 5 is of image 77", "annotation 6 lacks its image_id",
          "annotation 7 has the id of another one", "annotation 8 has no area, or a number that",
          "nine.jpg: annotation 10: nothing of 50, 50, 59, 59 lies in the image of 20 x 10"}) {
        CAPTURE(reason);
        CHECK(has_reason(report, reason));
    }
    CHECK(report.quarantined.size() == 13);
    CHECK(report.notes ==
          std::vector<std::string>{"1 boxes reached beyond their images and were cut"});
    CHECK(source.boxes().corners == std::vector<float>{1, 0.5F, 2.5F, 2, 9, 4, 10, 5});
}

TEST_CASE("COCO files that are none, or several, are refused") {
    Source several("coco", [] {
        Files files = coco_files(coco_of(""));
        files.emplace_back("coco/annotations/instances_train.json", coco_of(""));
        return files;
    }());
    CHECK(contains(several.message(), "holds several files of boxes ("));
    several.options.annotations = "instances_val.json";
    CHECK(several.import().pool.rows == 3);
    CHECK(several.boxes().count() == 0);
    several.options.annotations = "other.json";
    CHECK(contains(several.message(), "holds no other.json (--annotations); of .json files there"));
    CHECK(contains(Source("coco", coco_files("{\"images\": [],")).message(), "instances_val.json"));
    CHECK(contains(Source("coco", coco_files("{\"images\": []}")).message(),
                   "is no COCO instances file"));
    CHECK(contains(
        Source("coco", coco_files("{\"images\": [], \"categories\": [], \"annotations\": []}"))
            .message(),
        "holds no image"));
}

TEST_CASE("imports over any number of ranks make the same pool, and fail on all together") {
    Files files = voc_files();
    for (int i = 0; i < 30; ++i) {
        const auto value = static_cast<unsigned char>(5 * i);
        const std::string name = fmt::format("n{:02d}", i);
        files.emplace_back("VOC/JPEGImages/" + name + ".jpg",
                           rgb_jpeg_of({value, 20, 200}, 20, static_cast<unsigned>(5 + i)));
        files.emplace_back("VOC/Annotations/" + name + ".xml",
                           annotation_of(20, static_cast<unsigned>(i == 7 ? 9 : 5 + i),
                                         {{"dog", fmt::format("{} 1 20 5", 1 + i % 9)}}));
    }
    const Source source("voc", files, true);
    const auto alone = source.import();
    const auto contents = [](const std::string& path) {
        const PoolFile pool = open_pool(path);
        const RowRange all{0, pool.info().rows};
        std::vector<std::byte> inputs(
            static_cast<std::size_t>(all.size() * pool.info().bytes_per_row()));
        pool.read_inputs(all, inputs);
        Boxes boxes;
        pool.read_boxes(all, boxes);
        return std::tuple(inputs, boxes.corners, boxes.offsets, pool.read_names(all),
                          pool.info().mean, pool.info().std);
    };
    const auto expected = contents(source.options.output);
    CHECK(alone.pool.rows == 32);
    on_all_ranks([&](Collective& collective) {
        ImportOptions options = source.options;
        options.output = source.directory / "ranks.h5";
        options.ranks = &collective;
        const ImportReport report = import_pool("voc", options, {});
        if (collective.is_root()) {
            CHECK_ON_RANK(collective, reasons_of(report) == reasons_of(alone));
            CHECK_ON_RANK(collective, contents(options.output) == expected);
        }
        const auto fails = [&](const char* format, const std::string& words) {
            const std::string message = message_of([&] { import_pool(format, options, {}); });
            CHECK_ON_RANK(collective, contains(message, words));
        };
        options.max_bad = BadLimit::parse("0");
        fails("voc", "1 of 33 rows are bad");
        options.source = source.directory / "absent";
        fails("voc", "does not exist");
        if (collective.size() > 1) fails("csv", "import csv runs on one rank");
    });
}

TEST_CASE("the packs of photographs have the boxes that their makers counted") {
    const auto pack = [](const char* name) {
        const std::string path = std::string(THRESHER_DATA_DIR "/") + name;
        if (!std::filesystem::exists(path)) {
            WARN("skipped: no " << path);
            return std::string();
        }
        return path;
    };
    const TemporaryDirectory directory;
    ImportOptions options;
    options.output = directory / "pool.h5";
    options.overwrite = Overwrite::yes;
    options.size = 100;
    const auto counts = [&] {
        Boxes boxes;
        const PoolFile pool = open_pool(options.output);
        pool.read_boxes({0, pool.info().rows}, boxes);
        std::int64_t difficult = 0, crowds = 0;
        for (const std::uint8_t flags : boxes.flags) {
            difficult += (flags & kDifficult) != 0;
            crowds += (flags & kCrowd) != 0;
        }
        return std::vector<std::int64_t>{pool.info().rows, boxes.count(), pool.info().classes,
                                         difficult, crowds};
    };
    using Counts = std::vector<std::int64_t>;
    if (options.source = pack("voc2012-100.tar"); !options.source.empty()) {
        CHECK(import_pool("voc", options, {}).quarantined.empty());
        CHECK(counts() == Counts{100, 273, 20, 38, 0});
    }
    if (options.source = pack("bccd-voc.tar"); !options.source.empty()) {
        const ImportReport report = import_pool("voc", options, {});
        CHECK(counts() == Counts{364, 4886, 3, 0, 0});
        REQUIRE(report.quarantined.size() == 2);
        CHECK(contains(report.quarantined[0].reason, "BloodImage_00338.xml"));
        CHECK(contains(report.quarantined[1].reason, "BloodImage_00343.xml"));
        const std::pair<const char*, std::int64_t> sets[] = {
            {"train", 205}, {"val", 87}, {"test", 72}};
        for (const auto& [set, rows] : sets) {
            options.image_set = set;
            CHECK(import_pool("voc", options, {}).pool.rows == rows);
        }
        options.image_set.clear();
    }
    if (options.source = pack("coco-mini-159-boxes-captions.tar"); !options.source.empty()) {
        options.annotations = "instances_train2017.json";
        CHECK(import_pool("coco", options, {}).quarantined.empty());
        const Counts train = counts();
        options.annotations = "instances_val2017.json";
        CHECK(import_pool("coco", options, {}).quarantined.empty());
        const Counts val = counts();
        CHECK((train[0] == 80 && val[0] == 79 && train[1] + val[1] == 1363));
        CHECK((train[2] == 80 && train[4] == 8 && val[4] == 5));
    }
}
