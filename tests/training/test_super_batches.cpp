#include "src/training/super_batches.hpp"

#include <algorithm>
#include <vector>

#include "tests/support/catch.hpp"
#include "tests/support/toy_pool.hpp"

using namespace thresher;

namespace {

TrainOptions batches_of(std::int64_t rows) {
    TrainOptions options;
    options.batch_size = rows;
    return options;
}

std::vector<std::int64_t> rows_of_epoch(const SuperBatches& batches, std::int64_t epoch) {
    std::vector<std::int64_t> rows;
    for (std::int64_t i = 0; i < batches.steps_per_epoch(); ++i) {
        rows.push_back(batches.rows(epoch * batches.steps_per_epoch() + i));
    }
    return rows;
}

}  // namespace

TEST_CASE("the last two batches of an epoch share a rest of less than half of one") {
    const auto sizes = [](std::int64_t rows, std::int64_t batch) {
        const MemoryPool pool = byte_pool(rows, {1, 2, 2}, 2);
        const auto source = all_examples(pool);
        const SuperBatches batches(*source, batches_of(batch));
        CHECK(rows_of_epoch(batches, 3) == rows_of_epoch(batches, 0));
        return rows_of_epoch(batches, 0);
    };
    using Sizes = std::vector<std::int64_t>;
    CHECK(sizes(48, 16) == Sizes{16, 16, 16});
    CHECK(sizes(50, 16) == Sizes{16, 16, 9, 9});
    CHECK(sizes(55, 16) == Sizes{16, 16, 12, 11});
    CHECK(sizes(56, 16) == Sizes{16, 16, 16, 8});
    CHECK(sizes(17, 16) == Sizes{9, 8});
    CHECK(sizes(16, 16) == Sizes{16});
    CHECK(sizes(3, 16) == Sizes{3});
    CHECK(sizes(4, 3) == Sizes{2, 2});
    CHECK(sizes(3, 1) == Sizes{1, 1, 1});
}

TEST_CASE("an epoch's super-batches have every row once, and keep the same share of each") {
    const MemoryPool pool = byte_pool(101, {1, 2, 2}, 2);
    const auto source = all_examples(pool);
    TrainOptions options = batches_of(8);
    options.method = "learnability";
    options.filter_ratio = 4;
    const SuperBatches batches(*source, options);
    // 101 = 32 + 32 + 37.
    CHECK(rows_of_epoch(batches, 0) == std::vector<std::int64_t>{32, 32, 19, 18});
    std::vector<std::int64_t> seen, kept;
    for (std::int64_t step = 4; step < 8; ++step) {
        kept.push_back(batches.kept(step));
        const auto rows = batches.positions(step, RowRange{0, batches.rows(step)});
        seen.insert(seen.end(), rows.begin(), rows.end());
    }
    CHECK(kept == std::vector<std::int64_t>{8, 8, 5, 5});
    std::sort(seen.begin(), seen.end());
    REQUIRE(std::ssize(seen) == 101);
    for (std::int64_t i = 0; i < 101; ++i) CHECK(seen[static_cast<std::size_t>(i)] == i);
}
