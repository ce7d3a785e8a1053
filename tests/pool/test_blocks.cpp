#include <cstring>
#include <vector>

#include "src/pool/block_slices.hpp"
#include "src/pool/blocks.hpp"
#include "src/pool/memory_source.hpp"
#include "tests/support/catch.hpp"

using namespace thresher;

TEST_CASE("every row is owned once and blocks do not depend on the number of ranks", "[blocks]") {
    for (std::int64_t rows : {0, 1, 63, 64, 65, 1000}) {
        for (int ranks : {1, 2, 3, 4, 7, 40}) {
            const BlockPartition partition{rows, 64, ranks};
            std::int64_t next = 0;
            for (int rank = 0; rank < ranks; ++rank) {
                const RowRange owned = partition.owned_rows(rank);
                CHECK(owned.begin == next);
                CHECK((owned.begin % 64 == 0 || owned.size() == 0));
                next = owned.end;
            }
            CHECK(next == rows);
        }
    }
}

TEST_CASE("more ranks than blocks leaves some ranks without rows", "[blocks]") {
    const BlockPartition partition{100, 64, 3};
    CHECK(partition.blocks() == 2);
    std::int64_t owners = 0;
    for (int rank = 0; rank < 3; ++rank) owners += partition.owned_rows(rank).size() > 0 ? 1 : 0;
    CHECK(owners == 2);
}

TEST_CASE("the default block is a power of two within its bounds", "[blocks]") {
    for (std::int64_t bytes : {1, 28 * 28, 3 * 224 * 224, 100'000'000}) {
        const std::int64_t rows = default_block_rows(bytes);
        CHECK((rows & (rows - 1)) == 0);
        CHECK(rows >= 16);
        CHECK(rows <= 65536);
    }
    CHECK(default_block_rows(784) * 784 >= (1 << 20));
    CHECK(default_block_rows(784) * 784 <= (4 << 20));
}

TEST_CASE("a pool in memory streams the blocks of a rank and gathers rows anywhere", "[blocks]") {
    MemoryPool pool;
    pool.info.rows = 10;
    pool.info.input_shape = {2};
    pool.info.block_rows = 4;
    pool.inputs.resize(20);
    for (std::size_t i = 0; i < 20; ++i) pool.inputs[i] = static_cast<std::byte>(i);
    for (std::int64_t i = 0; i < 10; ++i) {
        pool.ids.push_back(100 + i);
        pool.targets.push_back(i % 3);
    }
    const auto blocks = stream_blocks(pool, 1, 2);
    Block block;
    std::vector<std::int64_t> ids;
    for (int pass = 0; pass < 2; ++pass) {
        ids.clear();
        while (blocks->next(block)) {
            ids.insert(ids.end(), block.ids.begin(), block.ids.end());
            CHECK(block.inputs[0] == static_cast<std::byte>(2 * block.rows.begin));
        }
        CHECK(ids == std::vector<std::int64_t>{104, 105, 106, 107, 108, 109});
        blocks->rewind();
    }
    const auto examples = all_examples(pool);
    Examples fetched;
    examples->fetch(std::vector<std::int64_t>{9, 0}, fetched);
    CHECK(fetched.ids == std::vector<std::int64_t>{109, 100});
    CHECK(fetched.targets == std::vector<std::int64_t>{0, 0});
    CHECK(fetched.inputs[0] == static_cast<std::byte>(18));
    CHECK_THROWS_WITH(examples->fetch(std::vector<std::int64_t>{10}, fetched),
                      "position 10 is outside the pool's 10 rows");
}

TEST_CASE("slices hold what their blocks hold, and begin at the same rows for any ranks",
          "[blocks]") {
    MemoryPool pool;
    pool.info.rows = 300;
    pool.info.input_shape = {2};
    pool.info.block_rows = 128;
    pool.info.token_length = 3;
    for (std::int64_t row = 0; row < 300; ++row) {
        for (int i = 0; i < 2; ++i) pool.inputs.push_back(static_cast<std::byte>(row + i));
        for (int i = 0; i < 3; ++i) pool.tokens.push_back(static_cast<std::int32_t>(10 * row + i));
        pool.ids.push_back(1000 + row);
        pool.image_ids.push_back(row / 2);
    }
    // 64 MiB are 51 rows of 1.25 MiB each, of which 32 is the power of two.
    constexpr std::int64_t kRowBytes = (5 << 20) / 4;
    std::vector<std::int64_t> begins;
    for (const int ranks : {1, 2, 3}) {
        std::vector<std::int64_t> found, ids;
        for (int rank = 0; rank < ranks; ++rank) {
            const auto source = slice_blocks(stream_blocks(pool, rank, ranks), kRowBytes);
            for (int pass = 0; pass < 2; ++pass) {
                Block slice;
                while (source->next(slice)) {
                    CHECK(slice.rows.size() <= 32);
                    CHECK(slice.targets.empty());
                    REQUIRE(std::ssize(slice.tokens) == 3 * slice.rows.size());
                    CHECK(slice.tokens[0] == 10 * slice.rows.begin);
                    CHECK(slice.image_ids[0] == slice.rows.begin / 2);
                    CHECK(slice.inputs[1] == static_cast<std::byte>(slice.rows.begin + 1));
                    if (pass == 1) continue;
                    found.push_back(slice.rows.begin);
                    ids.insert(ids.end(), slice.ids.begin(), slice.ids.end());
                }
                source->rewind();
            }
        }
        CHECK(ids == pool.ids);
        if (ranks == 1) begins = found;
        CHECK(found == begins);
    }
    CHECK(begins == std::vector<std::int64_t>{0, 32, 64, 96, 128, 160, 192, 224, 256, 288});
    // A row that makes more than all of it is a slice by itself.
    const auto source = slice_blocks(stream_blocks(pool, 0, 1), std::int64_t{1} << 30);
    Block slice;
    REQUIRE(source->next(slice));
    CHECK(slice.rows.size() == 1);
}
