#include <algorithm>
#include <map>
#include <set>

#include "src/base/check.hpp"
#include "src/environments/table_plan.hpp"
#include "tests/support/catch.hpp"

using namespace thresher;
using thresher::test::contains;

TEST_CASE("uniform subsets have every size and every candidate as often", "[plan]") {
    TablePlan plan{.candidates = 20, .records = 6000, .least_size = 3, .most_size = 5};
    std::map<std::size_t, int> sizes;
    std::map<std::int32_t, int> items;
    std::set<std::vector<std::int32_t>> different;
    for (std::int64_t number = 0; number < plan.records; ++number) {
        auto subset = uniform_subset(plan, number);
        REQUIRE(subset.size() == 5);
        std::erase(subset, -1);
        ++sizes[subset.size()];
        CHECK(std::set<std::int32_t>(subset.begin(), subset.end()).size() == subset.size());
        for (const std::int32_t item : subset) ++items[item];
        different.insert(subset);
    }
    // 2000 of each size, deviation 37; each candidate 6000 . 4 / 20 = 1200 times, deviation 31.
    for (const auto& [size, count] : sizes) CHECK(std::abs(count - 2000) < 185);
    CHECK(sizes.size() == 3);
    for (const auto& [item, count] : items) CHECK(std::abs(count - 1200) < 155);
    CHECK(items.size() == 20);
    CHECK(different.size() > 4000);
}

TEST_CASE("a mutation keeps at least half of a good subset, and its size", "[plan]") {
    TablePlan plan{.candidates = 30, .records = 10, .least_size = 6, .most_size = 8};
    const std::vector<std::vector<std::int32_t>> good{{1, 2, 3, 4, 5, 6, -1, -1},
                                                      {10, 11, 12, 13, 14, 15, 16, 17}};
    std::set<std::int64_t> exchanged;
    for (std::int64_t number = 0; number < 200; ++number) {
        auto subset = mutated_subset(plan, number, good);
        std::erase(subset, -1);
        CHECK(std::set<std::int32_t>(subset.begin(), subset.end()).size() == subset.size());
        REQUIRE((subset.size() == 6 || subset.size() == 8));
        const auto& parent = good[subset.size() == 6 ? 0 : 1];
        const auto kept = std::count_if(subset.begin(), subset.end(), [&](std::int32_t item) {
            return std::find(parent.begin(), parent.end(), item) != parent.end();
        });
        exchanged.insert(std::ssize(subset) - kept);
    }
    CHECK(exchanged == std::set<std::int64_t>{1, 2, 3, 4});
    // Nothing to exchange for: the subset as it is.
    plan.candidates = 8;
    CHECK(
        mutated_subset(plan, 0, std::vector<std::vector<std::int32_t>>{{0, 1, 2, 3, 4, 5, 6, 7}}) ==
        std::vector<std::int32_t>{0, 1, 2, 3, 4, 5, 6, 7});
}

TEST_CASE("shards share the records out", "[plan]") {
    std::multiset<std::int64_t> all;
    for (std::int64_t shard = 0; shard < 3; ++shard) {
        const TablePlan plan{
            .candidates = 20, .records = 50, .near = 0.2, .shard = shard, .shards = 3};
        check_plan(plan);
        CHECK(plan.uniform_records() == 40);
        for (const std::int64_t number : plan.numbers()) all.insert(number);
    }
    CHECK(all.size() == 50);
    CHECK(std::set<std::int64_t>(all.begin(), all.end()).size() == 50);
}

TEST_CASE("plans that cannot be are refused", "[plan]") {
    const TablePlan good{.candidates = 20};
    const auto with = [&](auto change) {
        TablePlan plan = good;
        change(plan);
        return plan;
    };
    CHECK_THROWS_WITH(check_plan(with([](TablePlan& p) { p.most_size = 21; })),
                      contains("20 candidates"));
    CHECK_THROWS_WITH(check_plan(with([](TablePlan& p) { p.least_size = 0; })),
                      contains("allowed are 1"));
    CHECK_THROWS_WITH(check_plan(with([](TablePlan& p) { p.records = 1; })),
                      contains("table of 1 records"));
    CHECK_THROWS_WITH(check_plan(with([](TablePlan& p) { p.near = 1.0; })), contains("below 1"));
    CHECK_THROWS_WITH(check_plan(with([](TablePlan& p) { p.shard = p.shards = 4; })),
                      contains("counted from 0"));
}
