#include "io/pool/block_reader.hpp"
#include "tests/io/support.hpp"
#include "tests/support/catch.hpp"

using namespace thresher;
using namespace thresher::io;
using namespace thresher::test;

TEST_CASE("the blocks of all ranks are the pool, each row once") {
    const TemporaryDirectory directory;
    SmallPool{.ids = true, .options = {.rows_per_shard = 30}}.write(directory / "pool");
    const PoolFile pool = open_pool(directory / "pool");
    for (int ranks : {1, 2, 3, 20}) {
        std::int64_t expected = 0;
        for (int rank = 0; rank < ranks; ++rank) {
            const auto reader = make_block_reader(pool, rank, ranks, 16);
            CHECK(reader->owned_rows().begin == expected);
            for (int pass = 0; pass < 2; ++pass) {
                Block block;
                std::int64_t at = reader->owned_rows().begin;
                while (reader->next(block)) {
                    REQUIRE(block.rows.begin == at);
                    for (std::int64_t row = at; row < block.rows.end; ++row) {
                        const auto i = static_cast<std::size_t>(row - at);
                        REQUIRE(block.ids[i] == 1000 + 2 * row);
                        REQUIRE(block.targets[i] == target_of(row));
                        REQUIRE(block.inputs[i * 6 + 5] == byte_of(row, 5));
                    }
                    at = block.rows.end;
                }
                CHECK(at == reader->owned_rows().end);
                CHECK_FALSE(reader->next(block));
                reader->rewind();
                expected = at;
            }
        }
        CHECK(expected == 100);
    }
}

TEST_CASE("a reading thread's error reaches the caller") {
    const TemporaryDirectory directory;
    SmallPool{.options = {.rows_per_shard = 50}}.write(directory / "pool");
    const auto reader = make_block_reader(open_pool(directory / "pool"), 0, 1, 50);
    std::filesystem::remove(directory / "pool/000001.h5");
    Block block;
    CHECK(contains(message_of([&] {
                       while (reader->next(block)) {
                       }
                   }),
                   "000001.h5"));
}

TEST_CASE("examples come in the order asked for, from a cache of any size") {
    const TemporaryDirectory directory;
    SmallPool{.rows = 2 * 65536 + 500, .options = {.rows_per_shard = 70000}}.write(directory /
                                                                                   "pool");
    const PoolFile pool = open_pool(directory / "pool");
    REQUIRE(pool.info().block_rows == 65536);
    for (std::int64_t cache_bytes : {std::int64_t{0}, std::int64_t{1} << 30}) {
        const auto source = make_example_source(pool, cache_bytes);
        CHECK(source->size() == 2 * 65536 + 500);
        const std::vector<std::int64_t> positions{131500, 3, 70000, 3, 65536, 65535};
        source->prefetch(positions);
        Examples examples;
        source->fetch(positions, examples);
        for (std::size_t i = 0; i < positions.size(); ++i) {
            CHECK(examples.ids[i] == positions[i]);
            CHECK(examples.targets[i] == target_of(positions[i]));
            CHECK(examples.inputs[i * 6 + 2] == byte_of(positions[i], 2));
        }
        CHECK(contains(
            message_of([&] { source->fetch(std::vector<std::int64_t>{131572}, examples); }),
            "position 131572"));
    }
}

TEST_CASE("chosen rows keep their order and can have other targets") {
    const TemporaryDirectory directory;
    SmallPool{.ids = true}.write(directory / "pool.h5");
    const PoolFile pool = open_pool(directory / "pool.h5");
    const std::vector<std::int64_t> rows{90, 4, 5, 17}, labels{2, 2, 1, 0};
    for (std::int64_t cache_bytes : {std::int64_t{0}, std::int64_t{1} << 20}) {
        for (const auto& targets : {std::vector<std::int64_t>{}, labels}) {
            const auto source = make_example_source(pool, rows, cache_bytes, targets);
            CHECK(source->size() == 4);
            CHECK(source->info().rows == 4);
            Examples examples;
            source->fetch(std::vector<std::int64_t>{3, 0, 1, 2}, examples);
            CHECK(examples.ids == std::vector<std::int64_t>{1034, 1180, 1008, 1010});
            for (std::size_t i = 0; i < 4; ++i) {
                const std::size_t position = (i + 3) % 4;
                CHECK(examples.targets[i] ==
                      (targets.empty() ? target_of(rows[position]) : labels[position]));
                CHECK(examples.inputs[i * 6] == byte_of(rows[position], 0));
            }
        }
    }
    CHECK(
        contains(message_of([&] { make_example_source(pool, std::vector<std::int64_t>{100}, 0); }),
                 "row 100"));
}
