#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>

#include <fstream>

#include "io/checksum.hpp"
#include "io/file_lock.hpp"
#include "io/hdf5/file.hpp"
#include "io/pool/pool_file.hpp"
#include "tests/io/support.hpp"
#include "tests/support/catch.hpp"

using namespace thresher;
using namespace thresher::io;
using namespace thresher::test;

namespace {

void check_rows(const PoolFile& pool, RowRange rows) {
    std::vector<std::byte> inputs(static_cast<std::size_t>(rows.size() * 6));
    std::vector<std::int64_t> targets(static_cast<std::size_t>(rows.size()));
    pool.read_inputs(rows, inputs);
    pool.read_targets(rows, targets);
    for (std::int64_t row = rows.begin; row < rows.end; ++row) {
        const auto i = static_cast<std::size_t>(row - rows.begin);
        REQUIRE(targets[i] == target_of(row));
        for (std::int64_t j = 0; j < 6; ++j) {
            REQUIRE(inputs[i * 6 + static_cast<std::size_t>(j)] == byte_of(row, j));
        }
    }
}

/// A file with the given u8 inputs [rows, 4] and i64 targets [target_rows].
void write_foreign(const std::string& path, std::int64_t rows, std::int64_t target_rows,
                   const std::vector<std::int64_t>& targets = {},
                   hdf5::Type type = hdf5::Type::uint8) {
    hdf5::File file = hdf5::File::create(path);
    const std::vector<std::byte> zeros(static_cast<std::size_t>(rows * 4 * 8));
    {
        hdf5::Dataset inputs =
            file.create_dataset({.name = "/mine/x", .type = type, .shape = {rows, 4}});
        const std::size_t bytes =
            static_cast<std::size_t>(rows * 4) * (type == hdf5::Type::uint8 ? 1 : 8);
        inputs.write_rows({0, rows}, type, std::span(zeros).first(bytes));
        std::vector<std::int64_t> values = targets;
        values.resize(static_cast<std::size_t>(target_rows));
        file.create_dataset({.name = "/mine/y", .type = hdf5::Type::int64, .shape = {target_rows}})
            .write_rows({0, target_rows}, hdf5::Type::int64, std::as_bytes(std::span(values)));
    }
    file.close();
}

}  // namespace

TEST_CASE("a pool reads back what was written, in chunks or contiguous") {
    const TemporaryDirectory directory;
    SmallPool small;
    SECTION("rows not known beforehand") {}
    SECTION("rows announced") { small.options.expected_rows = small.rows; }
    small.write(directory / "pool.h5");
    const PoolFile pool = open_pool(directory / "pool.h5");
    CHECK(pool.info().rows == 100);
    CHECK(pool.info().input_shape == std::vector<std::int64_t>{1, 2, 3});
    CHECK(pool.info().element_type == ElementType::uint8);
    CHECK(pool.info().scale == 1.0 / 255.0);
    CHECK(pool.info().mean == std::vector<double>{0.25});
    CHECK(pool.info().std == std::vector<double>{0.5});
    CHECK(pool.info().classes == 3);
    CHECK(pool.info().class_names == std::vector<std::string>{"ant", "bee", "cat"});
    CHECK_FALSE(pool.info().has_ids);
    check_rows(pool, {0, 100});
    check_rows(pool, {41, 42});
    CHECK(directory.files() == std::vector<std::string>{"pool.h5"});

    const hdf5::File file = hdf5::File::open(directory / "pool.h5");
    CHECK(hdf5::read_string(file.root(), "format") == "thresher-pool");
    CHECK(hdf5::read_string(file.root(), "command_line") == "thresher import");
    CHECK(hdf5::read_string(file.root(), "config") == "seed = 7\n");
    CHECK(hdf5::read_integer(file.root(), "seed") == 7);
    CHECK(hdf5::read_string(file.root(), "ids") == "rows");
    CHECK(hdf5::read_string(file.root(), "created_utc")->size() == 20);
}

TEST_CASE("a sharded pool reads as one, and rows can be added as shards") {
    const TemporaryDirectory directory;
    const std::string path = directory / "pool";
    SmallPool small{.names = true, .options = {.rows_per_shard = 32}};
    SECTION("chunked") {}
    SECTION("contiguous") { small.options.expected_rows = small.rows; }
    small.write(path);
    {
        const PoolFile pool = open_pool(path);
        CHECK(pool.info().rows == 100);
        check_rows(pool, {0, 100});
        check_rows(pool, {31, 65});
        check_rows(pool, {32, 64});
        CHECK(pool.read_names({63, 65}) == std::vector<std::string>{"row-63", "row-64"});
        CHECK(pool.rows_of(std::vector<std::int64_t>{99, 0}) == std::vector<std::int64_t>{99, 0});
    }
    CHECK(std::filesystem::exists(path + "/000003.h5"));
    CHECK_FALSE(std::filesystem::exists(path + "/000004.h5"));
    small.options.append = true;
    small.options.expected_rows = 0;
    small.write(path);
    const PoolFile longer = open_pool(path);
    CHECK(longer.info().rows == 200);
    CHECK(longer.read_names({99, 101}) == std::vector<std::string>{"row-99", "row-0"});
}

TEST_CASE("rows are added to a pool by one process at a time") {
    const TemporaryDirectory directory;
    const std::string path = directory / "pool";
    SmallPool small{.options = {.rows_per_shard = 32}};
    small.write(path);
    small.options.append = true;
    {
        const FileLock other(path + "/writer.lock", "the pool", "wait");
        const std::string message = message_of([&] { small.write(path); });
        CHECK(contains(message, "writer.lock"));
        CHECK(contains(message, "is in use by process"));
        CHECK(open_pool(path).info().rows == 100);
    }
    small.write(path);
    CHECK(open_pool(path).info().rows == 200);
    CHECK_FALSE(std::filesystem::exists(path + "/writer.lock"));
}

TEST_CASE("shards that a killed writer left are written anew, others are not") {
    const TemporaryDirectory directory;
    const std::string path = directory / "pool";
    SmallPool small{.options = {.rows_per_shard = 32}};
    std::filesystem::create_directory(path);
    write_file(path + "/000000.h5", "finished", Overwrite::no);
    write_file(path + "/000007.h5.tmp", "half", Overwrite::no);
    CHECK(contains(message_of([&] { small.write(path); }), "exists already"));
    write_file(path + "/writer.lock", "", Overwrite::no);
    small.write(path);
    check_rows(open_pool(path), {0, 100});
    CHECK_FALSE(std::filesystem::exists(path + "/000007.h5.tmp"));
    CHECK_FALSE(std::filesystem::exists(path + "/writer.lock"));
    CHECK(contains(message_of([&] { small.write(path); }), "exists already"));
}

TEST_CASE("rows beyond those that were announced are refused, at the end of a shard as well") {
    const TemporaryDirectory directory;
    for (const std::int64_t announced : {50, 64}) {
        SmallPool small{.options = {.rows_per_shard = 32, .expected_rows = announced}};
        CHECK(contains(message_of([&] { small.write(directory / "pool"); }), "announced"));
    }
    CHECK(directory.files().empty());
}

TEST_CASE("a sharded pool that replaces a longer one leaves none of its shards") {
    const TemporaryDirectory directory;
    const std::string path = directory / "pool";
    SmallPool small{.options = {.rows_per_shard = 20}};
    small.write(path);
    CHECK(contains(message_of([&] { small.write(path); }), "--overwrite"));
    small.rows = 30;
    small.options.overwrite = Overwrite::yes;
    small.write(path);
    CHECK(open_pool(path).info().rows == 30);
    CHECK(std::filesystem::exists(path + "/000001.h5"));
    CHECK_FALSE(std::filesystem::exists(path + "/000002.h5"));
}

TEST_CASE("stored ids are found, in any order, and missing ones named") {
    const TemporaryDirectory directory;
    SmallPool{.ids = true, .names = true}.write(directory / "pool.h5");
    const PoolFile pool = open_pool(directory / "pool.h5");
    const std::vector<std::int64_t> wanted{1198, 1000, 1004, 1198};
    CHECK(pool.rows_of(wanted) == std::vector<std::int64_t>{99, 0, 2, 99});
    CHECK(pool.names_of(wanted)[2] == "row-2");
    CHECK(pool.ids_of(std::vector<std::int64_t>{99, 0, 2, 99}) == wanted);
    CHECK(pool.targets_of(wanted) == std::vector<std::int64_t>{-1, 0, 2, -1});
    CHECK(contains(message_of([&] { pool.ids_of(std::vector<std::int64_t>{3, 100}); }), "pool.h5"));
    const std::string message = message_of([&] {
        pool.rows_of(std::vector<std::int64_t>{1000, 1001, 5});
    });
    CHECK(contains(message, "lacks 2 of 3 ids"));
    CHECK(contains(message, "1001, 5"));
}

TEST_CASE("a user's own file is a pool, given its paths") {
    const TemporaryDirectory directory;
    write_foreign(directory / "own.h5", 10, 10, {0, 1, 2, 3});
    const PoolFile pool =
        open_pool(directory / "own.h5", {.inputs = "/mine/x", .targets = "/mine/y"});
    CHECK(pool.info().rows == 10);
    CHECK(pool.info().classes == 4);
    CHECK(pool.info().scale == 1.0 / 255.0);
    const std::string message = message_of([&] { open_pool(directory / "own.h5"); });
    CHECK(contains(message, "own.h5"));
    CHECK(contains(message, "there is no dataset /inputs; the file has mine"));
}

TEST_CASE("targets out of range are quarantined by id and read as unknown") {
    const TemporaryDirectory directory;
    write_foreign(directory / "own.h5", 5, 5, {0, 7, -2, -1, 2});
    const PoolFile pool =
        open_pool(directory / "own.h5", {.inputs = "/mine/x", .targets = "/mine/y", .classes = 3});
    std::vector<std::int64_t> targets(5);
    pool.read_targets({0, 5}, targets);
    CHECK(targets == std::vector<std::int64_t>{0, -1, -1, -1, 2});
    const std::vector<QuarantinedRow> bad = pool.bad_targets({0, 5});
    REQUIRE(bad.size() == 2);
    CHECK(bad[0].id == 1);
    CHECK(contains(bad[0].reason, "target 7 is out of range, allowed are 0 to 2"));
    CHECK(bad[1].id == 2);
}

TEST_CASE("all problems of a pool are reported together") {
    const TemporaryDirectory directory;
    write_foreign(directory / "own.h5", 5, 4, {}, hdf5::Type::float64);
    const std::string message = message_of(
        [&] { open_pool(directory / "own.h5", {.inputs = "/mine/x", .targets = "/mine/y"}); });
    CHECK(contains(message, "own.h5"));
    CHECK(contains(message, "/mine/x is f64, expected u8 or f32"));
    CHECK(contains(message, "/mine/y has shape [4], expected [5]"));
}

TEST_CASE("captions in a user's own file are read, and what is wrong with them is said") {
    const TemporaryDirectory directory;
    const std::string path = directory / "mine.h5";
    write_foreign(path, 3, 3);
    const PoolPaths paths{"/mine/x", "/mine/y", 1};
    const auto change = [&](const std::function<void(hdf5::File&)>& body) {
        hdf5::File file = hdf5::File::open_writable(path);
        body(file);
        file.close();
    };
    const std::vector<std::int64_t> tokens{1, 2, 0, 0, 3, 9};
    change([&](hdf5::File& file) {
        file.create_dataset({.name = "/tokens", .type = hdf5::Type::int64, .shape = {3, 2}})
            .write_rows({0, 3}, hdf5::Type::int64, std::as_bytes(std::span(tokens)));
    });
    CHECK(contains(message_of([&] { open_pool(path, paths); }),
                   "/tokens does not say how many tokens there are"));
    change([&](hdf5::File& file) {
        const hdf5::Dataset dataset = file.dataset("/tokens");
        hdf5::write_attribute(dataset.ref(), "vocabulary", std::int64_t{9});
    });
    {
        const PoolFile pool = open_pool(path, paths);
        CHECK(pool.info().token_length == 2);
        CHECK(pool.info().vocabulary == 9);
        std::vector<std::int32_t> read(4);
        pool.read_tokens({0, 2}, read);
        CHECK(read == std::vector<std::int32_t>{1, 2, 0, 0});
        CHECK(contains(message_of([&] {
                           pool.read_tokens({1, 3}, read);
                       }),
                       "row 2 holds the token 9; allowed are 0 to 8"));
        std::vector<std::int64_t> image_ids(2);
        pool.read_image_ids({1, 3}, image_ids);
        CHECK(image_ids == std::vector<std::int64_t>{1, 2});
        CHECK(pool.read_captions({0, 1}) == std::vector<std::string>{""});
        CHECK(contains(message_of([&] { pool.vocabulary(); }), "has no dataset /vocabulary"));
    }
    change([](hdf5::File& file) {
        file.create_dataset({.name = "/image_ids", .type = hdf5::Type::int64, .shape = {2}});
    });
    CHECK(contains(message_of([&] { open_pool(path, paths); }),
                   "/image_ids has shape [2], expected [3]"));
}

TEST_CASE("broken and foreign files are told apart") {
    const TemporaryDirectory directory;
    SmallPool{}.write(directory / "pool.h5");
    const auto open = [&](const char* name) {
        return message_of([&] { open_pool(directory / name); });
    };
    CHECK(contains(open("missing.h5"), "No such file"));
    std::ofstream(directory / "text.h5") << "this is no HDF5 file at all";
    CHECK(contains(open("text.h5"), "is no HDF5 file"));
    std::ofstream(directory / "empty.h5");
    CHECK(contains(open("empty.h5"), "is empty"));
    std::filesystem::copy_file(directory / "pool.h5", directory / "cut.h5");
    std::filesystem::resize_file(directory / "cut.h5",
                                 std::filesystem::file_size(directory / "cut.h5") / 2);
    CHECK(contains(open("cut.h5"), "truncated"));
    std::filesystem::create_directory(directory / "folder");
    CHECK(contains(open("folder"), "without manifest.json"));
}

TEST_CASE("a shard that is missing or truncated is named") {
    const TemporaryDirectory directory;
    const std::string path = directory / "pool";
    SmallPool{.options = {.rows_per_shard = 50}}.write(path);
    SECTION("truncated") {
        std::filesystem::resize_file(path + "/000001.h5", 1000);
        CHECK(contains(message_of([&] { open_pool(path); }), "000001.h5 has 1000 bytes"));
    }
    SECTION("missing") {
        std::filesystem::remove(path + "/000001.h5");
        CHECK(contains(message_of([&] { open_pool(path); }), "000001.h5: No such file"));
    }
    SECTION("removed after opening") {
        const PoolFile pool = open_pool(path);
        std::filesystem::remove(path + "/000001.h5");
        std::vector<std::int64_t> targets(100);
        CHECK(contains(message_of([&] { pool.read_targets({0, 100}, targets); }), "000001.h5"));
    }
}

TEST_CASE("an output that exists is refused, and replaced only when asked") {
    const TemporaryDirectory directory;
    SmallPool small{.rows = 10};
    small.write(directory / "pool.h5");
    const std::string before = checksum_of_file(directory / "pool.h5");
    small.rows = 20;
    CHECK(contains(message_of([&] { small.write(directory / "pool.h5"); }), "--overwrite"));
    CHECK(checksum_of_file(directory / "pool.h5") == before);
    small.options.overwrite = Overwrite::yes;
    small.write(directory / "pool.h5");
    CHECK(open_pool(directory / "pool.h5").info().rows == 20);
    CHECK(contains(message_of([&] { small.write(directory / "none/pool.h5"); }), "does not exist"));
}

TEST_CASE("nothing is left of a pool whose writing was broken off") {
    const TemporaryDirectory directory;
    PoolSchema schema;
    schema.input_shape = {6};
    for (std::int64_t rows_per_shard : {0, 2}) {
        PoolWriter writer(directory / "pool", schema, {}, {.rows_per_shard = rows_per_shard});
        const std::vector<std::byte> inputs(18);
        writer.append({.rows = 3, .inputs = inputs});
        CHECK(directory.files().size() == 1);
    }
    CHECK(directory.files().empty());
}

TEST_CASE("a full disk is a clear error that leaves nothing behind") {
    const TemporaryDirectory directory;
    rlimit before{};
    getrlimit(RLIMIT_FSIZE, &before);
    const auto handler = signal(SIGXFSZ, SIG_IGN);
    const rlimit small{64 << 10, before.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
    const std::string message = message_of([&] {
        PoolSchema schema;
        schema.input_shape = {1024};
        PoolWriter writer(directory / "pool.h5", schema, {});
        const std::vector<std::byte> inputs(std::size_t{1024} * 1024, std::byte{1});
        writer.append({.rows = 1024, .inputs = inputs});
        writer.finish();
    });
    const std::string plain = message_of(
        [&] { write_file(directory / "text", std::string(100000, 'x'), Overwrite::no); });
    setrlimit(RLIMIT_FSIZE, &before);
    signal(SIGXFSZ, handler);
    CHECK(contains(message, "pool.h5"));
    CHECK(contains(message, "File too large"));
    CHECK(contains(plain, "text.tmp: cannot be written: File too large"));
    CHECK(directory.files().empty());
}

TEST_CASE("checksums tell contents apart") {
    // XXH3 64 bits of no input, from the reference implementation's specification.
    CHECK(checksum_of_bytes("") == "xxh3-64:2d06800538d394c2");
    const TemporaryDirectory directory;
    write_file(directory / "a", "abc", Overwrite::no);
    CHECK(checksum_of_file(directory / "a") == checksum_of_bytes("abc"));
    CHECK(inputs_checksum(directory / "a") == checksum_of_bytes("abc"));
    CHECK(inputs_checksum("").empty());
}
