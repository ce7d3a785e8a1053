#include <zlib.h>

#include <cmath>

#include "io/hdf5/file.hpp"
#include "io/importers/importers.hpp"
#include "tests/io/png_support.hpp"
#include "tests/io/support.hpp"
#include "tests/support/catch.hpp"

using namespace thresher;
using namespace thresher::io;
using namespace thresher::test;

namespace {

void write_gz(const std::string& path, const std::string& bytes) {
    gzFile file = gzopen(path.c_str(), "wb");
    gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size()));
    gzclose(file);
}

std::string idx_header(const std::vector<unsigned>& shape) {
    std::string bytes{'\0', '\0', '\x08', static_cast<char>(shape.size())};
    for (unsigned extent : shape) {
        for (int shift : {24, 16, 8, 0}) bytes += static_cast<char>((extent >> shift) & 0xFF);
    }
    return bytes;
}

/// 4 images of 2 x 2: image i holds i, i + 10, i + 20, i + 30; labels 0, 1, 2, 0.
std::string idx_images() {
    std::string bytes = idx_header({4, 2, 2});
    for (char i = 0; i < 4; ++i) {
        for (char j = 0; j < 4; ++j) bytes += static_cast<char>(i + 10 * j);
    }
    return bytes;
}

std::string idx_labels() { return idx_header({4}) + std::string("\0\1\2\0", 4); }

std::vector<std::int64_t> targets_of(const PoolFile& pool) {
    std::vector<std::int64_t> targets(static_cast<std::size_t>(pool.info().rows));
    pool.read_targets({0, pool.info().rows}, targets);
    return targets;
}

std::string cifar_row(int label, int value) {
    return std::string(1, static_cast<char>(label)) + std::string(3072, static_cast<char>(value));
}

}  // namespace

TEST_CASE("idx files are imported from a directory, gzipped or not") {
    const TemporaryDirectory directory;
    write_gz(directory / "train-images-idx3-ubyte.gz", idx_images());
    write_file(directory / "train-labels-idx1-ubyte", idx_labels(), Overwrite::no);
    ImportOptions options;
    options.source = directory.path();
    options.output = directory / "pool.h5";
    const ImportReport report = import_pool("idx", options, {});
    CHECK(report.quarantined.empty());
    CHECK(report.pool.rows == 4);
    CHECK(report.pool.input_shape == std::vector<std::int64_t>{1, 2, 2});
    CHECK(report.pool.classes == 3);
    // The values are {0, 1, 2, 3} + {0, 10, 20, 30}: mean 16.5, variance 1.25 + 125.
    CHECK(report.pool.mean[0] == Approx(16.5 / 255.0).epsilon(1e-12));
    CHECK(report.pool.std[0] == Approx(std::sqrt(126.25) / 255.0).epsilon(1e-12));
    const PoolFile pool = open_pool(options.output);
    CHECK(targets_of(pool) == std::vector<std::int64_t>{0, 1, 2, 0});
    std::vector<std::byte> inputs(4);
    pool.read_inputs({2, 3}, inputs);
    CHECK(std::to_integer<int>(inputs[3]) == 32);
    options.split = "test";
    options.output = directory / "test.h5";
    CHECK(contains(message_of([&] { import_pool("idx", options, {}); }), "t10k-images-idx3-ubyte"));
}

TEST_CASE("idx files that are damaged or do not fit are refused, and nothing is written") {
    const TemporaryDirectory directory;
    ImportOptions options;
    options.source = directory / "images";
    options.labels = directory / "labels";
    options.output = directory / "pool.h5";
    const auto message = [&](const std::string& images, const std::string& labels) {
        write_file(options.source, images, Overwrite::yes);
        write_file(options.labels, labels, Overwrite::yes);
        return message_of([&] { import_pool("idx", options, {}); });
    };
    CHECK(contains(message(idx_images(), idx_header({3}) + "abc"), "holds 3 labels"));
    CHECK(contains(message(idx_images().substr(0, 25), idx_labels()), "ends within image 2 of 4"));
    CHECK(contains(message("hello world", idx_labels()), "is no IDX file"));
    CHECK(contains(message(idx_labels(), idx_images()), "images and labels mixed up"));
    CHECK(contains(message(idx_header({4, 0xFFFFFFFF, 0xFFFFFFFF}), idx_labels()), "damaged"));
    write_gz(directory / "whole.gz", idx_images() + std::string(10000, 'x'));
    std::string cut = read_file(directory / "whole.gz");
    CHECK(contains(message(cut.substr(0, 20), idx_labels()), "truncated"));
    CHECK_FALSE(std::filesystem::exists(options.output));
    CHECK_FALSE(std::filesystem::exists(options.output + ".tmp"));
}

TEST_CASE("rows whose label is none of the class names are quarantined, up to the limit") {
    const TemporaryDirectory directory;
    write_file(directory / "x-images", idx_images(), Overwrite::no);
    write_file(directory / "x-labels", idx_labels(), Overwrite::no);
    ImportOptions options;
    options.source = directory / "x-images";
    options.output = directory / "pool.h5";
    options.class_names = {"shirt", "shoe"};
    CHECK(
        contains(message_of([&] { import_pool("idx", options, {}); }), "target 2 is out of range"));
    CHECK_FALSE(std::filesystem::exists(options.output));
    options.max_bad = BadLimit::parse("1");
    const ImportReport report = import_pool("idx", options, {});
    CHECK(report.pool.rows == 3);
    REQUIRE(report.quarantined.size() == 1);
    CHECK(report.quarantined[0].id == 2);
}

TEST_CASE("CIFAR is imported from a file, a directory and an archive") {
    const TemporaryDirectory directory;
    const std::string bytes = cifar_row(3, 10) + cifar_row(9, 20) + cifar_row(3, 30);
    const std::string folder = directory / "cifar-10-batches-bin";
    std::filesystem::create_directory(folder);
    write_file(folder + "/data_batch_1.bin", bytes, Overwrite::no);
    write_file(folder + "/test_batch.bin", cifar_row(1, 1), Overwrite::no);
    write_file(folder + "/batches.meta.txt", "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n\n", Overwrite::no);
    ImportOptions options;
    options.output = directory / "pool.h5";
    options.overwrite = Overwrite::yes;
    SECTION("file") { options.source = folder + "/data_batch_1.bin"; }
    SECTION("directory") { options.source = folder; }
    SECTION("archive") {
        options.source = directory / "cifar.tar.gz";
        write_gz(
            options.source,
            tar_of({{"cifar-10-batches-bin/data_batch_1.bin", bytes},
                    {"cifar-10-batches-bin/batches.meta.txt", "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n"},
                    {"cifar-10-batches-bin/readme.html", "hello"}}));
    }
    const ImportReport report = import_pool("cifar", options, {});
    CHECK(report.pool.rows == 3);
    CHECK(report.pool.input_shape == std::vector<std::int64_t>{3, 32, 32});
    CHECK(report.pool.mean[2] == Approx(20.0 / 255.0));
    CHECK(report.pool.std[0] == Approx(std::sqrt(200.0 / 3.0) / 255.0));
    CHECK(targets_of(open_pool(options.output)) == std::vector<std::int64_t>{3, 9, 3});
    if (report.pool.class_names.empty()) return;
    CHECK(report.pool.class_names[9] == "j");
}

TEST_CASE("a CIFAR file that is cut, and a split that does not exist, are refused") {
    const TemporaryDirectory directory;
    ImportOptions options;
    options.source = directory / "data_batch_1.bin";
    options.output = directory / "pool.h5";
    write_file(options.source, cifar_row(1, 1).substr(5), Overwrite::no);
    CHECK(contains(message_of([&] { import_pool("cifar", options, {}); }),
                   "no whole number of CIFAR rows"));
    options.split = "validation";
    CHECK(contains(message_of([&] { import_pool("cifar", options, {}); }),
                   "allowed for cifar: train, test, all"));
    CHECK(directory.files().size() == 1);
}

TEST_CASE("CIFAR-100 has two labels a row") {
    const TemporaryDirectory directory;
    ImportOptions options;
    options.source = directory / "train.bin";
    options.output = directory / "pool.h5";
    options.overwrite = Overwrite::yes;
    write_file(options.source, "\x05" + cifar_row(77, 1) + "\x13" + cifar_row(99, 2),
               Overwrite::no);
    import_pool("cifar", options, {});
    CHECK(targets_of(open_pool(options.output)) == std::vector<std::int64_t>{77, 99});
    options.coarse_labels = true;
    import_pool("cifar", options, {});
    CHECK(targets_of(open_pool(options.output)) == std::vector<std::int64_t>{5, 19});
}

TEST_CASE("numbers in columns become vectors, with classes by name or number") {
    const TemporaryDirectory directory;
    ImportOptions options;
    options.source = directory / "table.csv";
    options.output = directory / "pool.h5";
    options.max_bad = BadLimit::parse("4");
    write_gz(
        options.source,
        "\xEF\xBB\xBFwidth,kind,\"height\",id\n1.5,cat,2,10\n-3e2,dog,+4,11\n1,cat\nx,dog,1,12\n"
        "7,,8,13\n1,cat,nan,14\n1,cat,2,-5\n");
    options.target_column = "kind";
    options.id_column = "id";
    const ImportReport report = import_pool("csv", options, {});
    CHECK(report.pool.rows == 3);
    CHECK(report.pool.input_shape == std::vector<std::int64_t>{2});
    CHECK(report.pool.element_type == ElementType::float32);
    CHECK(report.pool.class_names == std::vector<std::string>{"cat", "dog"});
    const PoolFile pool = open_pool(options.output);
    CHECK(targets_of(pool) == std::vector<std::int64_t>{0, 1, -1});
    std::vector<float> inputs(6);
    pool.read_inputs({0, 3}, std::as_writable_bytes(std::span(inputs)));
    CHECK(inputs == std::vector<float>{1.5F, 2.0F, -300.0F, 4.0F, 7.0F, 8.0F});
    CHECK(pool.rows_of(std::vector<std::int64_t>{13}) == std::vector<std::int64_t>{2});
    REQUIRE(report.quarantined.size() == 4);
    CHECK(report.quarantined[0].reason == "line 4: 2 fields, the first line has 4");
    CHECK(report.quarantined[1].reason == "line 5: \"x\" in column 0 is no finite number");
    // Mean of column 1 is (2 + 4 + 8) / 3.
    CHECK(report.pool.mean[1] == Approx(14.0 / 3.0));

    write_file(directory / "plain.csv", "1,2,0\n3,4,2\n", Overwrite::no);
    options.source = directory / "plain.csv";
    options.output = directory / "plain.h5";
    options.target_column = "2";
    options.id_column = "";
    CHECK(import_pool("csv", options, {}).pool.classes == 3);
    options.target_column = "color";
    CHECK(contains(message_of([&] { import_pool("csv", options, {}); }),
                   "--target-column is \"color\""));
}

TEST_CASE("an id that occurs twice is refused, in one source and in what is added") {
    const TemporaryDirectory directory;
    ImportOptions options;
    options.source = directory / "table.csv";
    options.output = directory / "pool";
    options.rows_per_shard = 2;
    options.id_column = "id";
    write_file(options.source, "x,id\n1,7\n2,5\n3,7\n", Overwrite::no);
    CHECK(contains(message_of([&] { import_pool("csv", options, {}); }),
                   "table.csv: the id 7 occurs more than once"));
    CHECK_FALSE(std::filesystem::exists(options.output + "/manifest.json"));
    write_file(options.source, "x,id\n1,7\n2,5\n3,6\n", Overwrite::yes);
    CHECK(import_pool("csv", options, {}).pool.rows == 3);
    options.append = true;
    CHECK(contains(message_of([&] { import_pool("csv", options, {}); }), "the id 5 occurs"));
    CHECK(open_pool(options.output).info().rows == 3);
    write_file(options.source, "x,id\n1,9\n2,8\n", Overwrite::yes);
    CHECK(import_pool("csv", options, {}).pool.rows == 5);
}

TEST_CASE("a row whose quote is not closed is set apart, and UTF-16 is named") {
    const TemporaryDirectory directory;
    ImportOptions options;
    options.source = directory / "table.csv";
    options.output = directory / "pool.h5";
    options.max_bad = BadLimit::parse("3");
    write_file(options.source, "x,kind\n1,\"cat\n and dog\"\n2,dog\n\x1b[2J,dog\n", Overwrite::no);
    options.target_column = "kind";
    const ImportReport report = import_pool("csv", options, {});
    CHECK(report.pool.class_names == std::vector<std::string>{"dog"});
    REQUIRE(report.quarantined.size() == 3);
    CHECK(report.quarantined[0].reason ==
          "line 2: a quote is not closed (line breaks inside quotes are not supported): "
          "\"1,\"cat\"");
    CHECK(report.quarantined[1].reason == "line 3: 1 fields, the first line has 2");
    CHECK(report.quarantined[2].reason == "line 5: \"\\x1b[2J\" in column 0 is no finite number");
    options.output = directory / "other.h5";
    write_file(options.source, "\"x\n\",kind\n1,cat\n", Overwrite::yes);
    CHECK(contains(message_of([&] { import_pool("csv", options, {}); }),
                   "table.csv: line 1: a quote is not closed"));
    write_file(options.source, std::string("\xFF\xFEx\0\n\0", 6), Overwrite::yes);
    CHECK(contains(message_of([&] { import_pool("csv", options, {}); }),
                   "table.csv: is text in UTF-16"));
}

TEST_CASE("a first row that lacks a value is a row, not a header") {
    const TemporaryDirectory directory;
    ImportOptions options;
    options.source = directory / "table.csv";
    options.output = directory / "pool.h5";
    options.max_bad = BadLimit::parse("1");
    write_file(options.source, "1,,0\n3,4,1\n", Overwrite::no);
    options.target_column = "2";
    const ImportReport report = import_pool("csv", options, {});
    CHECK(report.pool.rows == 1);
    REQUIRE(report.quarantined.size() == 1);
    CHECK(report.quarantined[0].reason == "line 1: \"\" in column 1 is no finite number");
}

TEST_CASE("columns numbered from 0 are a header, and --header says what a first line is") {
    const TemporaryDirectory directory;
    ImportOptions options;
    options.source = directory / "table.csv";
    options.output = directory / "pool.h5";
    options.overwrite = Overwrite::yes;
    const auto rows = [&](const std::string& first, CsvHeader header) {
        write_file(options.source, first + "\n9,8,7,6,5\n", Overwrite::yes);
        options.header = header;
        return import_pool("csv", options, {}).pool.rows;
    };
    // As pandas writes columns without names, with and without row numbers.
    CHECK(rows("0,1,2,3,4", CsvHeader::automatic) == 1);
    CHECK(rows(",0,1,2,3", CsvHeader::automatic) == 1);
    CHECK(rows("0,1,2,3,5", CsvHeader::automatic) == 2);
    CHECK(rows("1,2,3,4,5", CsvHeader::automatic) == 2);
    CHECK(rows("0,1,2,3,4", CsvHeader::no) == 2);
    CHECK(rows("1990,1991,1992,1993,1994", CsvHeader::yes) == 1);

    write_file(options.source, "0,1,2\n3,4,5\n", Overwrite::yes);
    options.header = CsvHeader::automatic;
    CHECK(import_pool("csv", options, {}).pool.rows == 2);

    write_file(options.source, "x,y\n3,4\n", Overwrite::yes);
    options.header = CsvHeader::no;
    options.target_column = "y";
    CHECK(contains(message_of([&] { import_pool("csv", options, {}); }), "--target-column is"));
    options.target_column = "1";
    options.max_bad = BadLimit::parse("1");
    const ImportReport report = import_pool("csv", options, {});
    CHECK(report.pool.rows == 1);
    REQUIRE(report.quarantined.size() == 1);
    CHECK(report.quarantined[0].reason == "line 1: \"x\" in column 0 is no finite number");
}

TEST_CASE("rows are added to a pool of shards, with the same classes") {
    const TemporaryDirectory directory;
    ImportOptions options;
    options.output = directory / "pool";
    options.rows_per_shard = 2;
    options.target_column = "kind";
    const auto add = [&](const std::string& text) {
        options.source = directory / "table.csv";
        write_file(options.source, text, Overwrite::yes);
        return import_pool("csv", options, {}).pool;
    };
    add("x,kind\n1,cat\n2,dog\n3,cat\n");
    options.append = true;
    CHECK(contains(message_of([&] { add("x,kind\n4,dog\n5,cat\n"); }), "classes [dog, cat]"));
    CHECK(open_pool(options.output).info().rows == 3);
    options.class_names = {"cat", "dog"};
    CHECK(add("x,kind\n4,dog\n5,cat\n").rows == 5);
    CHECK(targets_of(open_pool(options.output)) == std::vector<std::int64_t>{0, 1, 0, 1, 0});
    // Which file has which rows says nothing about how they are normalised.
    for (const char* shard : {"000000.h5", "000001.h5", "000002.h5"}) {
        CHECK(open_pool(options.output + "/" + shard).info().mean == std::vector<double>{2.0});
    }
}

TEST_CASE("rows of other classes are not added under the names of those there") {
    const TemporaryDirectory directory;
    SmallPool{.options = {.rows_per_shard = 50}}.write(directory / "pool");
    PoolSchema schema;
    schema.input_shape = {1, 2, 3};
    schema.scale = 1.0 / 255.0;
    schema.targets = true;
    schema.class_names = {"ant", "cat", "dog"};
    const std::vector<std::byte> inputs(6);
    PoolWriter writer(directory / "other.h5", schema, {}, {});
    writer.append({.rows = 1, .inputs = inputs, .targets = std::vector<std::int64_t>{1}});
    writer.set_normalisation({0.25}, {0.5});
    writer.finish();
    ImportOptions options;
    options.source = directory / "other.h5";
    options.output = directory / "pool";
    options.append = true;
    CHECK(contains(
        message_of([&] { import_pool("hdf5", options, {}); }),
        "the rows to add have the classes [ant, cat, dog], the pool there [ant, bee, cat]"));
    CHECK(open_pool(options.output).info().rows == 100);
}

TEST_CASE("a row whose input is not finite is set apart") {
    const TemporaryDirectory directory;
    PoolSchema schema;
    schema.input_shape = {2};
    schema.element_type = ElementType::float32;
    const std::vector<float> values{1.0F, 2.0F, std::nanf(""), 4.0F, 5.0F, 6.0F};
    PoolWriter writer(directory / "own.h5", schema, {}, {});
    writer.append({.rows = 3, .inputs = std::as_bytes(std::span(values))});
    writer.set_normalisation({0.0}, {1.0});
    writer.finish();
    ImportOptions options;
    options.source = directory / "own.h5";
    options.output = directory / "copy.h5";
    options.max_bad = BadLimit::parse("1");
    const ImportReport report = import_pool("hdf5", options, {});
    CHECK(report.pool.rows == 2);
    REQUIRE(report.quarantined.size() == 1);
    CHECK(report.quarantined[0].id == 1);
    CHECK(report.quarantined[0].reason == "an input is not finite");
    CHECK(report.pool.mean == std::vector<double>{3.0, 4.0});
}

TEST_CASE("a user's own HDF5 file is copied into shards") {
    const TemporaryDirectory directory;
    SmallPool{.ids = true, .names = true}.write(directory / "own.h5");
    ImportOptions options;
    options.source = directory / "own.h5";
    options.output = directory / "pool";
    options.rows_per_shard = 40;
    const ImportReport report = import_pool("hdf5", options, {});
    CHECK(report.pool.rows == 100);
    CHECK(report.pool.class_names.size() == 3);
    const PoolFile pool = open_pool(directory / "pool");
    CHECK(pool.names_of(std::vector<std::int64_t>{1198})[0] == "row-99");
    CHECK(targets_of(pool) == targets_of(open_pool(options.source)));
}

TEST_CASE("an unknown importer lists the known ones") {
    CHECK(message_of([] { import_pool("parquet", {}, {}); }) ==
          "there is no importer \"parquet\"; known are cifar, coco, csv, hdf5, idx, image-text, "
          "images, "
          "voc");
}
