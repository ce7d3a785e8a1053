#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <functional>
#include <set>

#include "src/pool/letter_box.hpp"
#include "src/pool/memory_source.hpp"
#include "src/training/augment/box_augment.hpp"
#include "src/training/augment/image_window.hpp"
#include "src/training/super_batches.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/toy_pool.hpp"

using namespace thresher;

namespace {

PoolInfo info(std::vector<std::int64_t> shape, std::int64_t most_boxes,
              ElementType type = ElementType::uint8) {
    PoolInfo pool;
    pool.path = "boxes.h5";
    pool.input_shape = std::move(shape);
    pool.element_type = type;
    pool.has_boxes = true;
    pool.most_boxes = most_boxes;
    pool.classes = 100;
    pool.block_rows = 16;
    return pool;
}

using PixelOf = std::function<int(std::int64_t c, std::int64_t y, std::int64_t x)>;

/// `rows` copies of one u8 image, with the same boxes; ids from 0 on.
Examples copies(const PoolInfo& pool, std::int64_t rows, const PixelOf& pixel,
                const std::vector<LabelledBox>& boxes) {
    Examples examples;
    for (std::int64_t row = 0; row < rows; ++row) {
        examples.ids.push_back(row);
        for (std::int64_t c = 0; c < pool.input_shape[0]; ++c) {
            for (std::int64_t y = 0; y < pool.input_shape[1]; ++y) {
                for (std::int64_t x = 0; x < pool.input_shape[2]; ++x) {
                    examples.inputs.push_back(static_cast<std::byte>(pixel(c, y, x)));
                }
            }
        }
        for (std::int64_t i = 0; i < pool.most_boxes; ++i) {
            examples.boxes.push_back(i < std::ssize(boxes) ? boxes[static_cast<std::size_t>(i)]
                                                           : LabelledBox{});
        }
    }
    return examples;
}

/// Row `row` of u8 inputs.
std::vector<std::byte> image(const Examples& examples, const PoolInfo& pool, std::int64_t row) {
    const auto begin = examples.inputs.begin() + row * pool.bytes_per_row();
    return {begin, begin + pool.bytes_per_row()};
}

bool same(const LabelledBox& a, const LabelledBox& b) {
    return a.x0 == b.x0 && a.y0 == b.y0 && a.x1 == b.x1 && a.y1 == b.y1 && a.area == b.area &&
           a.class_index == b.class_index && a.flags == b.flags;
}

/// A crop that lacks a hair of the whole may round to the same pixels.
bool near(const LabelledBox& a, const LabelledBox& b) {
    return std::max({std::abs(a.x0 - b.x0), std::abs(a.y0 - b.y0), std::abs(a.x1 - b.x1),
                     std::abs(a.y1 - b.y1)}) < 0.1F;
}

/// Within five standard deviations of n draws with this probability.
bool is_share(double found, double probability, double n) {
    return std::abs(found - probability * n) <
           5.0 * std::sqrt(probability * (1.0 - probability) * n);
}

int ramp(std::int64_t, std::int64_t y, std::int64_t x) {
    return static_cast<int>(40 + 13 * x + 9 * y) % 256;
}

}  // namespace

TEST_CASE("a window of a ramp is a ramp, mirrored, clamped at its canvas and filled within") {
    const std::int64_t width = 8;
    WindowImages<float> images(1, 1, width, {-7.0F});
    const auto line = [&](const WindowAxis& axis) {
        std::vector<float> values;
        for (std::int64_t x = 0; x < width; ++x) values.push_back(static_cast<float>(x) + 0.5F);
        images.apply(std::span(values), {axis, {0.0, 1.0, 0, 1, false}}, {});
        return values;
    };
    // A ramp that is its own place: pixel i of the window is from begin + (i + 1/2) length / 8.
    const auto part = line({2.0, 4.0, 0, 8, false}), mirrored = line({2.0, 4.0, 0, 8, true});
    for (std::size_t i = 0; i < 8; ++i) {
        const double place = 2.0 + (static_cast<double>(i) + 0.5) / 2.0;
        CHECK(part[i] == Approx(place));
        CHECK(mirrored[7 - i] == Approx(place));
    }
    // The image's end goes on where the canvas ends with it.
    CHECK(line({0.0, 2.0, 0, 8, false})[0] == 0.5F);
    CHECK(line({6.0, 2.0, 0, 8, false})[7] == 7.5F);
    // Twice as large a canvas, of which the image is the second quarter and third.
    const auto filled = line({-4.0, 16.0, -4, 12, false});
    CHECK(filled == std::vector<float>{-7.0F, -7.0F, 1.0F, 3.0F, 5.0F, 7.0F, -7.0F, -7.0F});
}

TEST_CASE("an image is mirrored or left as it is as often as the recipe says, its box with it") {
    // Without a box to hold, a crop is taken always but for the whole, 1 of 7; colours stay in 1 of
    // 4 and the canvas in 1 of 2.
    const PoolInfo pool = info({1, 8, 8}, 1);
    constexpr std::int64_t kRows = 20000;
    Examples examples = copies(pool, kRows, ramp, {});
    const auto before = image(examples, pool, 0);
    std::vector<std::byte> mirrored = before;
    for (std::size_t y = 0; y < 8; ++y) {
        std::reverse(mirrored.begin() + static_cast<std::ptrdiff_t>(8 * y),
                     mirrored.begin() + static_cast<std::ptrdiff_t>(8 * y + 8));
    }
    augment_boxes(examples, pool, 1, 0);
    double same_images = 0.0, mirrors = 0.0, falls = 0.0;
    for (std::int64_t row = 0; row < kRows; ++row) {
        const auto after = image(examples, pool, row);
        same_images += after == before ? 1.0 : 0.0;
        mirrors += after == mirrored ? 1.0 : 0.0;
    }
    CHECK(is_share(same_images, 1.0 / 112.0, kRows));
    CHECK(is_share(mirrors, 1.0 / 112.0, kRows));

    const PoolInfo boxed = info({1, 8, 8}, 2);
    const LabelledBox box{1.0F, 2.0F, 5.0F, 8.0F, 20.0F, 3, kCrowd};
    examples = copies(boxed, kRows, ramp, {box});
    augment_boxes(examples, boxed, 1, 0);
    const LabelledBox turned{3.0F, 2.0F, 7.0F, 8.0F, 20.0F, 3, kCrowd};
    int whole = 0, exact = 0;
    for (std::int64_t row = 0; row < kRows; ++row) {
        const LabelledBox& found = examples.boxes[static_cast<std::size_t>(2 * row)];
        const auto after = image(examples, boxed, row);
        whole += after == before || after == mirrored ? 1 : 0;
        if (after == before) CHECK(near(found, box));
        if (after == mirrored) CHECK(near(found, turned));
        exact += same(found, box) || same(found, turned) ? 1 : 0;
    }
    CHECK((whole > 100 && exact > 100));

    // Whatever else happens, a ramp falls where it is mirrored.
    const PoolInfo wide = info({1, 4, 24}, 0);
    examples =
        copies(wide, kRows,
               [](std::int64_t, std::int64_t, std::int64_t x) { return x < 12 ? 0 : 250; }, {});
    augment_boxes(examples, wide, 1, 0);
    double clear = 0.0;
    for (std::int64_t row = 0; row < kRows; ++row) {
        const auto after = image(examples, wide, row);
        // The step, from the darkest pixel to the brightest.
        const auto darkest = std::min_element(after.begin(), after.begin() + 24);
        const auto brightest = std::max_element(after.begin(), after.begin() + 24);
        if (std::to_integer<int>(*brightest) - std::to_integer<int>(*darkest) < 85) continue;
        if (std::to_integer<int>(*darkest) > 33) continue;
        clear += 1.0;
        falls += brightest < darkest ? 1.0 : 0.0;
    }
    CHECK(clear > kRows / 4.0);
    CHECK(is_share(falls, 0.5, clear));
}

TEST_CASE("the object is where its box is, and nowhere else") {
    for (const std::int64_t channels : {1, 3}) {
        const PoolInfo pool = info({channels, 48, 40}, 1);
        constexpr std::int64_t kRows = 3000;
        const LabelledBox box{11.0F, 14.0F, 27.0F, 36.0F, 352.0F, 2, 0};
        const auto object = [](std::int64_t c, std::int64_t, std::int64_t) {
            return static_cast<int>(200 - 30 * c);
        };
        const auto ground = [](std::int64_t c, std::int64_t, std::int64_t) {
            return static_cast<int>(50 + 20 * c);
        };
        const auto both = [&](std::int64_t c, std::int64_t y, std::int64_t x) {
            return x >= 11 && x < 27 && y >= 14 && y < 36 ? object(c, y, x) : ground(c, y, x);
        };
        // The same boxes and ids, so the same happens to all three.
        Examples shown = copies(pool, kRows, both, {box}),
                 objects = copies(pool, kRows, object, {box}),
                 grounds = copies(pool, kRows, ground, {box});
        for (Examples* examples : {&shown, &objects, &grounds})
            augment_boxes(*examples, pool, 9, 4);
        std::int64_t inside = 0, outside = 0, wrong = 0;
        // A side of a crop is 0.3 of the canvas at least; half a pixel of it blends.
        const float blend = 0.5F / 0.3F + 0.01F;
        for (std::int64_t row = 0; row < kRows; ++row) {
            const LabelledBox& found = shown.boxes[static_cast<std::size_t>(row)];
            REQUIRE(found.class_index == 2);
            REQUIRE(same(found, objects.boxes[static_cast<std::size_t>(row)]));
            const auto seen = image(shown, pool, row), full = image(objects, pool, row),
                       bare = image(grounds, pool, row);
            for (std::size_t i = 0; i < seen.size(); ++i) {
                const float x = static_cast<float>(i % 40) + 0.5F,
                            y = static_cast<float>(i / 40 % 48) + 0.5F;
                // How far within the box; a side that was cut off may be just beyond.
                const float within =
                    std::min({x - found.x0, found.x1 - x, y - found.y0, found.y1 - y});
                if (within >= blend) {
                    ++inside;
                    wrong += seen[i] != full[i] ? 1 : 0;
                } else if (within <= -blend) {
                    ++outside;
                    wrong += seen[i] != bare[i] ? 1 : 0;
                }
            }
        }
        CHECK(wrong == 0);
        CHECK((inside > 100 * kRows && outside > 300 * kRows));
    }
}

TEST_CASE("what happens to a row depends on seed, epoch and id alone") {
    const PoolInfo pool = info({3, 16, 16}, 2);
    const auto pixel = [](std::int64_t c, std::int64_t y, std::int64_t x) {
        return static_cast<int>((31 * c + 17 * y + 7 * x) % 256);
    };
    const std::vector<LabelledBox> boxes{{2.0F, 3.0F, 9.0F, 12.0F, 63.0F, 1, 0},
                                         {8.0F, 8.0F, 16.0F, 14.0F, 48.0F, 4, kDifficult}};
    const auto augmented = [&](const std::vector<std::int64_t>& ids, std::uint64_t seed,
                               std::int64_t epoch) {
        Examples examples = copies(pool, std::ssize(ids), pixel, boxes);
        examples.ids = ids;
        augment_boxes(examples, pool, seed, epoch);
        return examples;
    };
    std::vector<std::int64_t> all(30);
    for (std::size_t i = 0; i < 30; ++i) all[i] = static_cast<std::int64_t>(i);
    const Examples expected = augmented(all, 3, 0);
    const std::vector<std::int64_t> chosen{17, 2, 29, 2};
    const Examples some = augmented(chosen, 3, 0);
    for (std::size_t i = 0; i < chosen.size(); ++i) {
        CHECK(image(some, pool, static_cast<std::int64_t>(i)) == image(expected, pool, chosen[i]));
        for (std::size_t k = 0; k < 2; ++k) {
            CHECK(same(some.boxes[2 * i + k],
                       expected.boxes[2 * static_cast<std::size_t>(chosen[i]) + k]));
        }
    }
    CHECK(augmented(all, 3, 1).inputs != expected.inputs);
    CHECK(augmented(all, 4, 0).inputs != expected.inputs);
}

TEST_CASE("boxes stay within the image, have area, keep their flags, and those cut off go") {
    const PoolInfo pool = info({1, 32, 24}, 6);
    constexpr std::int64_t kRows = 4000;
    Examples examples = copies(pool, kRows, ramp, {});
    const KeyedRandom random(8, Stream::synthetic, 0);
    for (std::int64_t row = 0; row < kRows; ++row) {
        for (std::int32_t i = 0; i < row % 7; ++i) {
            const auto draw = [&](int number) {
                return static_cast<float>(
                    random.uniform(7 * row + i, static_cast<std::uint16_t>(number)));
            };
            const float x = 23.0F * draw(0), y = 31.0F * draw(1);
            // Some are thinner than a pixel, and some reach an end.
            const float width = i == 0 ? 0.01F : (24.0F - x) * draw(2),
                        height = i == 1 ? 32.0F - y : (32.0F - y) * draw(3);
            examples.boxes[static_cast<std::size_t>(6 * row + i)] = {
                x, y, x + width, y + height, width * height, 10 + i, i % 4};
        }
    }
    const Examples before = examples;
    augment_boxes(examples, pool, 2, 1);
    std::int64_t gone = 0, kept = 0;
    for (std::int64_t row = 0; row < kRows; ++row) {
        const auto of_row = [&](const Examples& from) {
            return std::span(from.boxes).subspan(static_cast<std::size_t>(6 * row), 6);
        };
        const auto count = [&](const Examples& from) {
            const auto boxes = of_row(from);
            return std::count_if(boxes.begin(), boxes.end(),
                                 [](const LabelledBox& box) { return box.is_object(); });
        };
        const std::int64_t there = count(before), now = count(examples);
        CHECK((now <= there && (there == 0 || now > 0)));
        gone += there - now;
        kept += now;
        std::int32_t last = -1;
        for (std::int64_t i = 0; i < 6; ++i) {
            const LabelledBox& box = of_row(examples)[static_cast<std::size_t>(i)];
            REQUIRE(box.is_object() == (i < now));
            if (!box.is_object()) {
                CHECK(same(box, {}));
                continue;
            }
            CHECK((box.x0 >= 0.0F && box.y0 >= 0.0F && box.x1 <= 24.0F && box.y1 <= 32.0F));
            CHECK((box.x0 < box.x1 && box.y0 < box.y1));
            CHECK(box.class_index > last);
            last = box.class_index;
            CHECK(box.flags == (box.class_index - 10) % 4);
            // Every object filled its box, and fills what is left of it; thin ones are rounded.
            CHECK(box.area == Approx((box.x1 - box.x0) * (box.y1 - box.y0)).epsilon(5e-3));
        }
    }
    CHECK((gone > kRows / 10 && kept > kRows));
}

TEST_CASE("colours change as often and as far as the recipe says, and grey stays grey") {
    for (const std::int64_t channels : {1, 3}) {
        const PoolInfo grey = info({channels, 2, 2}, 0);
        constexpr std::int64_t kRows = 20000;
        Examples examples =
            copies(grey, kRows, [](std::int64_t, std::int64_t, std::int64_t) { return 114; }, {});
        augment_boxes(examples, grey, 3, 0);
        // 114 is also the colour of the canvas, so every pixel is 114 contrast + brightness or 114.
        double left = 0.0;
        int least = 255, most = 0;
        for (std::int64_t row = 0; row < kRows; ++row) {
            const auto after = image(examples, grey, row);
            for (const std::byte value : after) {
                least = std::min(least, std::to_integer<int>(value));
                most = std::max(most, std::to_integer<int>(value));
            }
            left += std::all_of(after.begin(), after.end(),
                                [](std::byte value) { return value == std::byte{114}; })
                        ? 1.0
                        : 0.0;
        }
        CHECK((least >= 57 - 32 && least <= 57 - 20));
        CHECK((most <= 171 + 32 && most >= 171 + 20));
        // Both are off in a quarter, whatever hue and saturation; few others come out at 114.
        CHECK((left > 0.25 * kRows - 5.0 * std::sqrt(0.1875 * kRows) && left < 0.32 * kRows));
    }

    PoolInfo colour = info({3, 8, 8}, 0);
    Examples examples = copies(colour, 400,
                               [](std::int64_t, std::int64_t y, std::int64_t x) {
                                   return static_cast<int>(20 * y + 5 * x);
                               },
                               {});
    augment_boxes(examples, colour, 3, 0);
    int apart = 0;
    for (std::int64_t row = 0; row < 400; ++row) {
        const auto after = image(examples, colour, row);
        for (std::size_t i = 0; i < 64; ++i) {
            for (const std::size_t c : {1, 2}) {
                apart = std::max(apart, std::abs(std::to_integer<int>(after[i]) -
                                                 std::to_integer<int>(after[64 * c + i])));
            }
        }
    }
    CHECK(apart <= 1);
}

TEST_CASE("hue and saturation change what is no grey") {
    const PoolInfo pool = info({3, 2, 2}, 0);
    constexpr std::int64_t kRows = 4000;
    const std::array<int, 3> stored{150, 110, 80};
    Examples examples = copies(pool, kRows,
                               [&](std::int64_t c, std::int64_t, std::int64_t) {
                                   return stored[static_cast<std::size_t>(c)];
                               },
                               {});
    augment_boxes(examples, pool, 5, 0);
    // Without contrast and brightness, a turn keeps the sum of the channels, and saturation the
    // luma; with neither, all stays.
    double left = 0.0, turned = 0.0, greyer = 0.0;
    for (std::int64_t row = 0; row < kRows; ++row) {
        const auto after = image(examples, pool, row);
        const auto value = [&](std::size_t c) { return std::to_integer<int>(after[4 * c]); };
        const double luma = 0.299 * value(0) + 0.587 * value(1) + 0.114 * value(2);
        const bool same_sum = std::abs(value(0) + value(1) + value(2) - 340) <= 1;
        const bool same_luma = std::abs(luma - 118.54) < 0.6;
        const bool unchanged = value(0) == 150 && value(1) == 110 && value(2) == 80;
        left += unchanged ? 1.0 : 0.0;
        turned += !unchanged && same_sum ? 1.0 : 0.0;
        greyer += !unchanged && same_luma ? 1.0 : 0.0;
    }
    // 1 of 16 each, but where the canvas shows instead, and by chance.
    CHECK((left > kRows / 32.0 && left < kRows / 12.0));
    CHECK((turned > kRows / 32.0 && turned < kRows / 8.0));
    CHECK((greyer > kRows / 32.0 && greyer < kRows / 8.0));
}

TEST_CASE("of a box that is kept, the half to its centre is seen") {
    const PoolInfo pool = info({1, 40, 40}, 2);
    constexpr std::int64_t kRows = 3000;
    const std::vector<LabelledBox> boxes{{4.0F, 4.0F, 12.0F, 12.0F, 64.0F, 0, 0},
                                         {18.0F, 16.0F, 36.0F, 38.0F, 396.0F, 1, 0}};
    Examples examples = copies(pool, kRows, ramp, boxes);
    augment_boxes(examples, pool, 6, 0);
    std::int64_t whole = 0, cut = 0, gone = 0;
    for (std::size_t row = 0; row < kRows; ++row) {
        const LabelledBox& small = examples.boxes[2 * row];
        const LabelledBox& large = examples.boxes[2 * row + 1];
        if (small.class_index != 0 || !large.is_object()) {
            ++gone;
            continue;
        }
        // The small one tells the zoom where it is seen whole.
        if (small.x0 <= 0.0F || small.y0 <= 0.0F || small.x1 >= 40.0F || small.y1 >= 40.0F)
            continue;
        const float across = (large.x1 - large.x0) / (small.x1 - small.x0) * 8.0F / 18.0F,
                    down = (large.y1 - large.y0) / (small.y1 - small.y0) * 8.0F / 22.0F;
        CHECK((across > 0.499F && down > 0.499F && across < 1.001F && down < 1.001F));
        (across > 0.999F && down > 0.999F ? whole : cut) += 1;
    }
    CHECK((whole > 300 && cut > 100 && gone > 300));
}

TEST_CASE("float images are filled with the pool's mean, about which contrast stretches them") {
    PoolInfo pool = info({3, 6, 6}, 0, ElementType::float32);
    pool.scale = 0.5;
    pool.mean = {3.0, -1.0, 2.0};
    pool.std = {0.0};  // and so brightness stays
    // An image of the mean: neither canvas, contrast, saturation nor hue shows.
    std::vector<float> values;
    Examples examples;
    for (std::int64_t row = 0; row < 200; ++row) {
        examples.ids.push_back(row);
        for (const float mean : {6.0F, -2.0F, 4.0F}) values.insert(values.end(), 36, mean);
    }
    examples.inputs.resize(4 * values.size());
    std::memcpy(examples.inputs.data(), values.data(), examples.inputs.size());
    augment_boxes(examples, pool, 1, 0);
    std::vector<float> after(values.size());
    std::memcpy(after.data(), examples.inputs.data(), examples.inputs.size());
    for (std::size_t i = 0; i < values.size(); ++i) REQUIRE(after[i] == Approx(values[i]));
}

TEST_CASE("training augments rows with boxes, and refuses an augmentation that does not suit") {
    MemoryPool pool = byte_pool(40, {1, 8, 8}, 3);
    TrainOptions options;
    options.batch_size = 8;
    options.augment = AugmentKind::boxes;
    const auto source = all_examples(pool);
    CHECK_THROWS_AS(SuperBatches(*source, options), UsageError);
    CHECK_THROWS_WITH(SuperBatches(*source, options),
                      test::contains("toy.h5 has none; use augment crop-flip"));
    Examples examples;
    source->fetch(std::vector<std::int64_t>{0}, examples);
    CHECK_THROWS_WITH(augment_boxes(examples, pool.info, 0, 0), test::contains("without boxes"));

    pool.info.has_boxes = true;
    pool.info.most_boxes = 1;
    pool.boxes.assign(40, LabelledBox{1.0F, 1.0F, 6.0F, 7.0F, 30.0F, 0, 0});
    const auto boxed = all_examples(pool);
    const SuperBatches batches(*boxed, options);
    const std::vector<std::int64_t> positions{3, 30, 9};
    // The 6th update is in the second epoch of five.
    batches.fetch(6, positions, examples);
    Examples expected;
    boxed->fetch(positions, expected);
    augment_boxes(expected, pool.info, options.seed, 1);
    CHECK(examples.inputs == expected.inputs);
    CHECK(std::equal(examples.boxes.begin(), examples.boxes.end(), expected.boxes.begin(),
                     expected.boxes.end(), same));
    options.augment = AugmentKind::crop_flip;
    CHECK_THROWS_WITH(SuperBatches(*boxed, options),
                      test::contains("crop-flip takes images without boxes") &&
                          test::contains("use augment boxes"));
    options.augment = AugmentKind::none;
    CHECK_NOTHROW(SuperBatches(*boxed, options));
}
