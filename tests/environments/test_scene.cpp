#include <algorithm>
#include <cmath>
#include <set>

#include "src/environments/images/scene.hpp"
#include "tests/support/catch.hpp"

using namespace thresher;

namespace {

constexpr std::int64_t kSide = 28, kRows = 300;

/// Row r shows a rectangle with a dark hole and a thin spike, whose shape and grey tell the row, on
/// a black ground; the outermost pixels around it are too faint to be seen.
std::vector<std::uint8_t> image(std::int64_t row) {
    std::vector<std::uint8_t> pixels(kSide * kSide);
    const std::int64_t width = 4 + row % 20, height = 4 + row / 20 % 20;
    for (std::int64_t y = 3; y < 5 + height; ++y) {
        for (std::int64_t x = 2; x < 4 + width; ++x) {
            const bool seam = y == 3 || x == 2 || y == 4 + height || x == 3 + width;
            pixels[static_cast<std::size_t>(y * kSide + x)] =
                static_cast<std::uint8_t>(seam ? 10 : 100 + row % 150);
        }
    }
    pixels[static_cast<std::size_t>((4 + height / 2) * kSide + 3 + width / 2)] = 0;
    // A spike that is lost where the image becomes smaller.
    for (std::int64_t x = 3 + width; x < 4 + width; ++x) {
        pixels[static_cast<std::size_t>((5 + height / 2) * kSide + x)] = 60;
    }
    return pixels;
}

/// Rows by class: row mod 6, the last of which is none of the scenes.
SceneRows rows_by_class() {
    SceneRows rows;
    rows.of_class.resize(5);
    for (std::int64_t row = 0; row < kRows; ++row) {
        if (row % 6 == 5) {
            rows.clutter.push_back(row);
        } else {
            rows.of_class[static_cast<std::size_t>(row % 6)].push_back(row);
        }
    }
    return rows;
}

const std::vector<double> kShares{0.48, 0.27, 0.14, 0.07, 0.04};

struct Bed {
    SceneRows rows = rows_by_class();
    SceneOptions options{.size = 64, .class_shares = kShares, .junk = 0.3, .noise = 0.0, .seed = 5};

    Scene scene(std::int64_t number) const {
        const SceneMaker maker(options, rows, kSide, kSide);
        const auto items = maker.items(number);
        std::vector<std::uint8_t> images;
        for (const SceneItem& item : items) {
            const auto pixels = image(item.row);
            images.insert(images.end(), pixels.begin(), pixels.end());
        }
        return maker.compose(number, items, images);
    }
};

/// Around the pixels that are not black; nothing where all are.
LabelledBox around(const std::vector<std::uint8_t>& pixels, std::int64_t size) {
    LabelledBox box{1e9F, 1e9F, 0.0F, 0.0F, 0.0F};
    for (std::int64_t y = 0; y < size; ++y) {
        for (std::int64_t x = 0; x < size; ++x) {
            if (pixels[static_cast<std::size_t>(y * size + x)] == 0) continue;
            const auto left = static_cast<float>(x), top = static_cast<float>(y);
            box.x0 = std::min(box.x0, left);
            box.y0 = std::min(box.y0, top);
            box.x1 = std::max(box.x1, left + 1.0F);
            box.y1 = std::max(box.y1, top + 1.0F);
            box.area += 1.0F;
        }
    }
    return box;
}

/// Within five standard deviations of a share of n draws.
void check_share(double found, double share, double n) {
    CHECK(std::abs(found / n - share) < 5.0 * std::sqrt(share * (1.0 - share) / n));
}

}  // namespace

TEST_CASE("boxes of scenes are tight around what is seen of the items") {
    Bed bed;
    bed.options.junk = 0.0;
    std::set<std::size_t> counts;
    float smallest = 64.0F, largest = 0.0F;
    for (std::int64_t number = 0; number < 400; ++number) {
        const Scene scene = bed.scene(number);
        counts.insert(scene.boxes.size());
        REQUIRE(!scene.boxes.empty());
        for (const LabelledBox& box : scene.boxes) {
            CHECK((box.x0 >= 0.0F && box.y0 >= 0.0F && box.x1 <= 64.0F && box.y1 <= 64.0F));
            const float side = std::max(box.x1 - box.x0, box.y1 - box.y0);
            smallest = std::min(smallest, side);
            largest = std::max(largest, side);
        }
        // Together they hold all that is seen, and touch its ends.
        const LabelledBox seen = around(scene.pixels, 64);
        LabelledBox all = scene.boxes[0];
        for (const LabelledBox& box : scene.boxes) {
            all.x0 = std::min(all.x0, box.x0);
            all.y0 = std::min(all.y0, box.y0);
            all.x1 = std::max(all.x1, box.x1);
            all.y1 = std::max(all.y1, box.y1);
        }
        CHECK((all.x0 == seen.x0 && all.y0 == seen.y0 && all.x1 == seen.x1 && all.y1 == seen.y1));
        if (scene.boxes.size() == 1) CHECK(scene.boxes[0].area == seen.area);
    }
    CHECK(counts == std::set<std::size_t>{1, 2, 3, 4});
    CHECK((smallest >= 9.0F && smallest <= 11.0F && largest >= 25.0F && largest <= 26.0F));
}

TEST_CASE("items of a scene hardly cover each other") {
    Bed bed;
    bed.options.junk = 0.0;
    for (std::int64_t number = 0; number < 300; ++number) {
        const auto boxes = bed.scene(number).boxes;
        for (std::size_t a = 0; a < boxes.size(); ++a) {
            for (std::size_t b = 0; b < a; ++b) {
                const float width =
                    std::min(boxes[a].x1, boxes[b].x1) - std::max(boxes[a].x0, boxes[b].x0);
                const float height =
                    std::min(boxes[a].y1, boxes[b].y1) - std::max(boxes[a].y0, boxes[b].y0);
                if (width <= 0.0F || height <= 0.0F) continue;
                const auto area = [](const LabelledBox& box) {
                    return (box.x1 - box.x0) * (box.y1 - box.y0);
                };
                // A tenth of the place an item was given; its box may be a pixel narrower.
                CHECK(width * height <= 0.15F * std::min(area(boxes[a]), area(boxes[b])));
            }
        }
    }
}

TEST_CASE("classes and junk have the shares that are asked for, and rows are of their class") {
    const Bed bed;
    const SceneMaker maker(bed.options, bed.rows, kSide, kSide);
    std::vector<double> of_class(5);
    std::set<std::int64_t> rows;
    double items = 0.0, junk = 0.0;
    constexpr std::int64_t kScenes = 20000;
    for (std::int64_t number = 0; number < kScenes; ++number) {
        const auto shown = maker.items(number);
        junk += maker.is_junk(number) ? 1.0 : 0.0;
        for (const SceneItem& item : shown) {
            if (maker.is_junk(number)) {
                CHECK((item.class_index == -1 && item.row % 6 == 5));
                continue;
            }
            CHECK(item.row % 6 == item.class_index);
            of_class[static_cast<std::size_t>(item.class_index)] += 1.0;
            items += 1.0;
            rows.insert(item.row);
        }
    }
    check_share(junk, 0.3, kScenes);
    for (std::size_t c = 0; c < 5; ++c) check_share(of_class[c], kShares[c], items);
    CHECK(rows.size() == 250);
}

TEST_CASE("scenes whose items are alike are of one class each, in the shares of classes") {
    Bed bed;
    bed.options.junk = 0.0;
    bed.options.alike = 1.0;
    const SceneMaker maker(bed.options, bed.rows, kSide, kSide);
    constexpr std::int64_t kScenes = 4000;
    std::vector<double> scenes(5, 0.0);
    for (std::int64_t number = 0; number < kScenes; ++number) {
        const auto items = maker.items(number);
        ++scenes[static_cast<std::size_t>(items.front().class_index)];
        for (const SceneItem& item : items) {
            REQUIRE(item.class_index == items.front().class_index);
            REQUIRE(item.row % 6 == item.class_index);
        }
    }
    for (std::size_t c = 0; c < 5; ++c) check_share(scenes[c], kShares[c], kScenes);
    bed.options.alike = 0.5;
    const SceneMaker half(bed.options, bed.rows, kSide, kSide);
    std::int64_t mixed = 0;
    for (std::int64_t number = 0; number < kScenes; ++number) {
        const auto items = half.items(number);
        mixed += std::any_of(items.begin(), items.end(),
                             [&](const SceneItem& item) {
                                 return item.class_index != items.front().class_index;
                             })
                     ? 1
                     : 0;
    }
    CHECK(mixed > kScenes / 8);
    CHECK(mixed < kScenes / 2);
}

TEST_CASE("junk shows fragments but has no box, and a class without a share is never drawn") {
    Bed bed;
    bed.options.junk = 1.0;
    for (std::int64_t number = 0; number < 50; ++number) {
        const Scene scene = bed.scene(number);
        CHECK(scene.boxes.empty());
        CHECK(around(scene.pixels, 64).area > 0.0F);
    }
    bed.options.junk = 0.0;
    bed.options.class_shares = {0.5, 0.0, 0.5, 0.0, 0.0};
    bed.rows.of_class[1].clear();
    const SceneMaker maker(bed.options, bed.rows, kSide, kSide);
    std::set<std::int32_t> classes;
    for (std::int64_t number = 0; number < 200; ++number) {
        for (const SceneItem& item : maker.items(number)) classes.insert(item.class_index);
    }
    CHECK(classes == std::set<std::int32_t>{0, 2});
}

TEST_CASE("noise changes no box, and its mean and strength are those of the ground") {
    Bed bed;
    bed.options.junk = 0.0;
    const Bed black = bed;
    bed.options.noise = 1.0;
    double sum = 0.0, squares = 0.0, count = 0.0;
    for (std::int64_t number = 0; number < 1000; ++number) {
        const Scene scene = bed.scene(number), clean = black.scene(number);
        REQUIRE(scene.boxes.size() == clean.boxes.size());
        for (std::size_t i = 0; i < scene.boxes.size(); ++i) {
            CHECK(
                (scene.boxes[i].x0 == clean.boxes[i].x0 && scene.boxes[i].y1 == clean.boxes[i].y1));
        }
        for (std::size_t i = 0; i < scene.pixels.size(); ++i) {
            if (clean.pixels[i] > 0) continue;
            const auto value = static_cast<double>(scene.pixels[i]);
            sum += value;
            squares += value * value;
            count += 1.0;
        }
    }
    // Grey is uniform on 16 to 64, the deviation of the noise on 6 to 18, so
    // the variance is 48^2 / 12 + 12^2 + 12^2 / 12 = 348, a little less where it is cut at 0.
    CHECK(std::abs(sum / count - 40.0) < 2.0);
    CHECK(std::abs(std::sqrt(squares / count - sum * sum / count / count) - std::sqrt(348.0)) <
          1.0);
}

TEST_CASE("a scene depends on seed and number alone, and a blank image leaves no box") {
    Bed bed;
    bed.options.noise = 1.0;
    CHECK(bed.scene(7).pixels == bed.scene(7).pixels);
    CHECK(bed.scene(7).pixels != bed.scene(8).pixels);
    Bed other = bed;
    other.options.seed = 6;
    CHECK(bed.scene(7).pixels != other.scene(7).pixels);
    const SceneMaker maker(bed.options, bed.rows, kSide, kSide);
    const std::vector<SceneItem> one{{3, 3}};
    const std::vector<std::uint8_t> blank(kSide * kSide, 40);
    CHECK(maker.compose(1, one, blank).boxes.empty());
}
