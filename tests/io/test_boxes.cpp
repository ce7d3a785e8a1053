#include <cmath>

#include "io/derive/derive.hpp"
#include "io/describe.hpp"
#include "io/hdf5/file.hpp"
#include "io/importers/importers.hpp"
#include "io/pool/block_reader.hpp"
#include "io/verify.hpp"
#include "tests/io/box_support.hpp"
#include "tests/support/catch.hpp"

using namespace thresher;
using namespace thresher::io;
using namespace thresher::test;

namespace {

/// Overwrites numbers of a dataset in place.
template <class T>
void spoil(const std::string& path, const std::string& name, std::int64_t row, hdf5::Type type,
           const std::vector<T>& values) {
    hdf5::File file = hdf5::File::open_writable(path);
    {
        hdf5::Dataset dataset = file.dataset(name);
        dataset.write_rows({row, row + 1}, type, std::as_bytes(std::span(values)));
    }
    file.close();
}

std::string message_of_reading(const std::string& path) {
    return message_of([&] { read_all_boxes(open_pool(path)); });
}

}  // namespace

TEST_CASE("boxes come back row by row, from a file and from shards") {
    const TemporaryDirectory directory;
    PoolWriterOptions known;
    known.expected_rows = 11;
    PoolWriterOptions sharded;
    sharded.rows_per_shard = 4;
    write_box_pool(directory / "grown.h5", 11);
    write_box_pool(directory / "known.h5", 11, known);
    write_box_pool(directory / "sharded", 11, sharded);
    for (const char* name : {"grown.h5", "known.h5", "sharded"}) {
        CAPTURE(name);
        const PoolFile pool = open_pool(directory / name);
        CHECK((pool.info().has_boxes && pool.info().has_box_areas && pool.info().has_image_sizes));
        CHECK(pool.info().classes == 3);
        CHECK(pool.info().class_names == std::vector<std::string>{"ant", "bee", "cat"});
        CHECK_FALSE(pool.info().has_targets);
        for (std::int64_t begin = 0; begin <= 11; ++begin) {
            for (std::int64_t end = begin; end <= 11; ++end) {
                Boxes boxes;
                pool.read_boxes({begin, end}, boxes);
                CHECK(same(boxes, boxes_of({begin, end})));
            }
        }
    }
    CHECK(io::verify(directory / "sharded") == 3);
    const std::string text = describe(directory / "sharded");
    CHECK_THAT(text, test::contains("15 of 3 classes"));  // 0 1 2 3 0 1 2 3 0 1 2
}

TEST_CASE("blocks and examples carry the boxes of their rows") {
    const TemporaryDirectory directory;
    PoolWriterOptions sharded;
    sharded.rows_per_shard = 4;
    write_box_pool(directory / "pool", 11, sharded);
    const PoolFile pool = open_pool(directory / "pool");
    CHECK(pool.most_boxes() == 3);
    // Row i has i mod 4 boxes: see box_support.hpp.
    const auto check_row = [](std::int64_t i, std::span<const LabelledBox> boxes,
                              std::span<const std::int32_t> size) {
        REQUIRE(boxes.size() == 3);
        for (std::int64_t j = 0; j < 3; ++j) {
            const LabelledBox& box = boxes[static_cast<std::size_t>(j)];
            REQUIRE(box.is_object() == (j < i % 4));
            if (!box.is_object()) continue;
            const auto x = static_cast<float>(i), y = static_cast<float>(j);
            CHECK((box.x0 == x && box.y0 == y && box.x1 == x + 2.0F + y && box.y1 == y + 3.0F));
            CHECK((box.class_index == (i + j) % 3 && box.flags == j));
            CHECK(box.area == 10.0F * x + y);
        }
        CHECK((size[0] == 100 + i && size[1] == 200 + i));
    };
    const auto reader = make_block_reader(pool, 1, 2, 3);
    CHECK(reader->info().most_boxes == 3);
    std::int64_t rows = 0;
    for (Block block; reader->next(block);) {
        for (std::int64_t i = 0; i < block.rows.size(); ++i, ++rows) {
            const auto at = static_cast<std::size_t>(i);
            check_row(block.rows.begin + i, block.boxes.subspan(3 * at, 3),
                      block.image_sizes.subspan(2 * at, 2));
        }
    }
    CHECK(rows == reader->owned_rows().size());
    const std::vector<std::int64_t> chosen{7, 0, 10, 3}, positions{2, 0, 3, 1};
    std::vector<std::unique_ptr<ExampleSource>> sources;
    sources.push_back(make_example_source(pool, chosen, std::int64_t{1} << 20));
    sources.push_back(make_example_source(pool, chosen, 0));
    for (const auto& source : sources) {
        Examples examples;
        source->fetch(positions, examples);
        const std::span<const LabelledBox> boxes(examples.boxes);
        const std::span<const std::int32_t> sizes(examples.image_sizes);
        for (std::size_t i = 0; i < 4; ++i) {
            check_row(chosen[static_cast<std::size_t>(positions[i])], boxes.subspan(3 * i, 3),
                      sizes.subspan(2 * i, 2));
        }
    }
}

TEST_CASE(
    "a pool without a single box is a pool, and so is one that lacks flags, areas and sizes") {
    const TemporaryDirectory directory;
    write_box_pool(directory / "none.h5", 1);  // row 0 has none
    CHECK(read_all_boxes(open_pool(directory / "none.h5")).offsets ==
          std::vector<std::int64_t>{0, 0});

    const std::string path = directory / "own.h5";
    {
        hdf5::File file = hdf5::File::create(path);
        const auto write = [&](const char* name, hdf5::Type type, std::vector<std::int64_t> shape,
                               std::span<const std::byte> bytes) {
            hdf5::Dataset dataset =
                file.create_dataset({.name = name, .type = type, .shape = shape});
            dataset.write_rows({0, shape[0]}, type, bytes);
        };
        const std::vector<std::byte> inputs(2);
        const std::vector<double> corners{0, 0, 1, 2};
        const std::vector<std::int32_t> classes{4};
        const std::vector<std::int64_t> offsets{0, 0, 1};
        write("/inputs", hdf5::Type::uint8, {2, 1}, inputs);
        write("/boxes", hdf5::Type::float64, {1, 4}, std::as_bytes(std::span(corners)));
        write("/box_classes", hdf5::Type::int32, {1}, std::as_bytes(std::span(classes)));
        write("/box_offsets", hdf5::Type::int64, {3}, std::as_bytes(std::span(offsets)));
        file.close();
    }
    const PoolFile pool = open_pool(path);
    CHECK(pool.info().classes == 5);
    CHECK_FALSE((pool.info().has_box_areas || pool.info().has_image_sizes));
    const Boxes boxes = read_all_boxes(pool);
    CHECK(boxes.offsets == std::vector<std::int64_t>{0, 0, 1});
    CHECK(boxes.corners == std::vector<float>{0, 0, 1, 2});
    CHECK(boxes.flags == std::vector<std::uint8_t>{0});
    CHECK((boxes.areas.empty() && boxes.image_sizes.empty()));
}

TEST_CASE("what is wrong with boxes is named") {
    const TemporaryDirectory directory;
    const std::string path = directory / "pool.h5";
    const auto fresh = [&] {
        PoolWriterOptions options;
        options.overwrite = Overwrite::yes;
        write_box_pool(path, 8, options);  // 0 1 2 3 0 1 2 3 boxes
    };
    const auto offset = [&](std::int64_t row, std::int64_t value) {
        fresh();
        spoil<std::int64_t>(path, "/box_offsets", row, hdf5::Type::int64, {value});
        return message_of_reading(path);
    };
    CHECK(contains(offset(8, 11), "/box_offsets goes from 0 to 11, expected 0 to 12"));
    CHECK(contains(offset(0, 1), "/box_offsets goes from 1 to 12, expected 0 to 12"));
    CHECK(contains(offset(3, 0), "/box_offsets holds 0 at row 3, after 1"));
    CHECK(contains(offset(3, 13), "/box_offsets holds 13 at row 3, after 1"));
    CHECK(contains(offset(3, std::int64_t{1} << 40), "offsets never descend, and end at 12"));
    const auto box = [&](std::vector<float> corners) {
        fresh();
        spoil<float>(path, "/boxes", 4, hdf5::Type::float32, corners);
        return message_of_reading(path);
    };
    CHECK(contains(box({3, 1, 3, 4}), "row 3 has the box 3, 1, 3, 4; expected"));
    CHECK(contains(box({3, 4, 6, 1}), "row 3 has the box"));
    CHECK(contains(box({3, 1, NAN, 4}), "row 3 has the box 3, 1, nan, 4"));
    CHECK(contains(box({-INFINITY, 1, 6, 4}), "row 3 has the box -inf"));
    for (const std::int64_t c : {-1, 3}) {
        fresh();
        spoil<std::int64_t>(path, "/box_classes", 4, hdf5::Type::int64, {c});
        CHECK(contains(message_of_reading(path),
                       fmt::format("row 3 has a box of class {}; allowed are 0 to 2", c)));
    }
}

TEST_CASE("datasets of boxes that do not fit together are listed") {
    const TemporaryDirectory directory;
    const auto problems = [&](const std::vector<std::pair<std::string, hdf5::DatasetSpec>>& sets) {
        const std::string path = directory / "odd.h5";
        hdf5::File file = hdf5::File::create(path);
        file.create_dataset({.name = "/inputs", .type = hdf5::Type::uint8, .shape = {2, 1}});
        for (const auto& [name, spec] : sets) {
            hdf5::DatasetSpec named = spec;
            named.name = name;
            file.create_dataset(named);
        }
        file.close();
        return message_of([&] { open_pool(path); });
    };
    const hdf5::DatasetSpec corners{.type = hdf5::Type::float32, .shape = {5, 4}};
    CHECK(
        contains(problems({{"/boxes", corners}}), "there is /boxes, but no dataset /box_classes"));
    CHECK(contains(problems({{"/box_offsets", {.type = hdf5::Type::int64, .shape = {3}}}}),
                   "there is /box_offsets, but no dataset /boxes"));
    const std::string message =
        problems({{"/boxes", {.type = hdf5::Type::float32, .shape = {5, 3}}},
                  {"/box_classes", {.type = hdf5::Type::float32, .shape = {5}}},
                  {"/box_offsets", {.type = hdf5::Type::int64, .shape = {2}}}});
    CHECK(contains(message, "/boxes is f32 of shape [5, 3], expected f32 of shape [boxes, 4]"));
    CHECK(contains(message, "/box_classes is f32 of shape [5]"));
    CHECK(contains(message, "/box_offsets is i64 of shape [2], expected integers, one more"));
    CHECK(contains(problems({{"/boxes", corners},
                             {"/box_classes", {.type = hdf5::Type::int64, .shape = {4}}},
                             {"/box_offsets", {.type = hdf5::Type::int64, .shape = {3}}}}),
                   "/box_classes is i64 of shape [4]"));
}

TEST_CASE("rows are only added to shards that have the same datasets of boxes") {
    const TemporaryDirectory directory;
    PoolWriterOptions options;
    options.rows_per_shard = 4;
    write_box_pool(directory / "pool", 6, options);
    options.append = true;
    write_box_pool(directory / "pool", 5, options);
    Boxes expected = boxes_of({0, 6});
    const Boxes more = boxes_of({0, 5});
    for (std::int64_t row = 0; row < 5; ++row) expected.append_row(more, row);
    CHECK(same(read_all_boxes(open_pool(directory / "pool")), expected));

    ImportOptions import;
    import.source = directory / "pool";
    import.output = directory / "copy";
    import.rows_per_shard = 4;
    import_pool("hdf5", import, {});
    CHECK(same(read_all_boxes(open_pool(directory / "copy")), expected));

    SmallPool{}.write(directory / "plain.h5");
    import.source = directory / "plain.h5";
    import.append = true;
    CHECK(contains(message_of([&] { import_pool("hdf5", import, {}); }), "boxes"));
}

TEST_CASE("derived pools carry the boxes of their rows") {
    const TemporaryDirectory directory;
    write_box_pool(directory / "pool.h5", 40);
    const PoolFile pool = open_pool(directory / "pool.h5");
    const auto carries = [](const std::string& path) {
        const PoolFile derived = open_pool(path);
        CHECK(derived.info().class_names == std::vector<std::string>{"ant", "bee", "cat"});
        std::vector<std::int64_t> rows(static_cast<std::size_t>(derived.info().rows));
        derived.read_source_ids({0, derived.info().rows}, rows);
        Boxes expected;
        for (const std::int64_t row : rows) {
            expected.append_row(boxes_of({row, row + 1}), 0);
        }
        CHECK(same(read_all_boxes(derived), expected));
        return derived.info().rows;
    };
    DeriveOptions options;
    options.output = directory / "subset.h5";
    options.subset = 13;
    derive_pool(pool, options, {});
    CHECK(carries(options.output) == 13);

    options = {};
    options.output = directory / "repeated";
    options.repeat = 3;
    options.rows_per_shard = 32;
    derive_pool(pool, options, {});
    CHECK(carries(options.output) == 120);

    options = {};
    options.output = directory / "parts";
    options.splits = parse_splits("a=10,b=rest");
    derive_pool(pool, options, {});
    CHECK(carries(directory / "parts/a.h5") == 10);
    CHECK(carries(directory / "parts/b.h5") == 30);

    options.label_noise = 0.5;
    CHECK(contains(message_of([&] { derive_pool(pool, options, {}); }), "no targets"));
}
