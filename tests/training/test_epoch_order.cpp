#include "src/training/epoch_order.hpp"

#include <algorithm>
#include <set>
#include <vector>

#include "src/base/check.hpp"
#include "src/training/augment/augment.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/toy_pool.hpp"

using namespace thresher;

namespace {

std::vector<std::int64_t> whole_epoch(const EpochOrder& order, std::int64_t epoch,
                                      std::int64_t rows) {
    std::vector<std::int64_t> result;
    for (std::int64_t i = 0; i < rows; ++i) result.push_back(order.row_at(epoch, i));
    return result;
}

}  // namespace

TEST_CASE("every epoch visits each row once, in an order of its own") {
    for (const std::int64_t rows : {1, 7, 64, 100, 101, 96}) {
        for (const std::int64_t window : {1, 2, 3, 50}) {
            INFO(rows << " rows, windows of " << window << " blocks");
            const EpochOrder order(rows, 8, window, 5);
            auto first = whole_epoch(order, 0, rows);
            auto second = whole_epoch(order, 1, rows);
            if (rows > 20) CHECK(first != second);
            for (auto* epoch : {&first, &second}) {
                std::sort(epoch->begin(), epoch->end());
                for (std::int64_t i = 0; i < rows; ++i) {
                    REQUIRE((*epoch)[static_cast<std::size_t>(i)] == i);
                }
            }
        }
    }
}

TEST_CASE("a window of an epoch touches no more blocks than it holds") {
    const EpochOrder order(1000, 10, 4, 5);
    const auto rows = whole_epoch(order, 3, 1000);
    std::vector<std::int64_t> starts;
    for (std::size_t window = 0; window < 25; ++window) {
        std::set<std::int64_t> blocks;
        for (std::size_t i = 0; i < 40; ++i) blocks.insert(rows[window * 40 + i] / 10);
        CHECK(blocks.size() == 4);
        starts.push_back(*blocks.begin());
    }
    CHECK_FALSE(std::is_sorted(starts.begin(), starts.end()));
}

TEST_CASE("the short last block may come anywhere in an epoch") {
    const EpochOrder order(83, 10, 1, 5);
    std::set<std::int64_t> places;
    for (std::int64_t epoch = 0; epoch < 60; ++epoch) {
        const auto rows = whole_epoch(order, epoch, 83);
        places.insert(std::find(rows.begin(), rows.end(), 81) - rows.begin());
    }
    CHECK(*places.begin() < 20);
    CHECK(*places.rbegin() >= 70);
}

TEST_CASE("an order needs rows") {
    CHECK_THROWS_WITH(EpochOrder(0, 8, 1, 5), thresher::test::contains("no rows"));
}

TEST_CASE("crops and flips depend on seed, epoch and id alone, and only move pixels") {
    const MemoryPool pool = byte_pool(40, {1, 16, 16}, 10);
    const std::size_t size = 256;
    const auto augmented = [&](std::span<const std::int64_t> ids, std::int64_t epoch) {
        std::vector<std::byte> bytes;
        for (const std::int64_t id : ids) {
            const auto begin = pool.inputs.begin() + id * 256;
            bytes.insert(bytes.end(), begin, begin + 256);
        }
        crop_and_flip(bytes, pool.info, ids, 3, epoch);
        return bytes;
    };
    const auto all = augmented(pool.ids, 0);
    const std::vector<std::int64_t> chosen{17, 2};
    const auto two = augmented(chosen, 0);
    CHECK(std::equal(two.begin(), two.begin() + 256, all.begin() + 17 * 256));
    CHECK(std::equal(two.begin() + 256, two.end(), all.begin() + 2 * 256));
    CHECK(augmented(pool.ids, 1) != all);

    // Each result is the image shifted by at most 2 (16 / 8) rows and columns, mirrored or not.
    for (std::size_t image = 0; image < 40; ++image) {
        bool found = false;
        for (int down = -2; down <= 2; ++down) {
            for (int right = -2; right <= 2; ++right) {
                for (const bool mirror : {false, true}) {
                    bool same = true;
                    for (int y = 0; y < 16 && same; ++y) {
                        for (int x = 0; x < 16 && same; ++x) {
                            const int from_y = y - down, column = x - right;
                            const int from_x = mirror ? 15 - column : column;
                            const bool inside =
                                from_y >= 0 && from_y < 16 && from_x >= 0 && from_x < 16;
                            const std::byte expected =
                                inside ? pool.inputs[image * size +
                                                     static_cast<std::size_t>(from_y * 16 + from_x)]
                                       : std::byte{0};
                            same = all[image * size + static_cast<std::size_t>(y * 16 + x)] ==
                                   expected;
                        }
                    }
                    found = found || same;
                }
            }
        }
        CHECK(found);
    }
    MemoryPool vectors = quadrant_pool(4);
    CHECK_THROWS_AS(crop_and_flip(vectors.inputs, vectors.info, vectors.ids, 1, 0), UsageError);
}
