#include <algorithm>
#include <array>
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
        CHECK(plan.drawn_records() == 40);
        for (const std::int64_t number : plan.numbers()) all.insert(number);
    }
    CHECK(all.size() == 50);
    CHECK(std::set<std::int64_t>(all.begin(), all.end()).size() == 50);
}

TEST_CASE("uniform records come first, then those drawn by class, then mutations", "[plan]") {
    const TablePlan plan{.candidates = 20, .records = 50, .stratified = 0.3, .near = 0.2};
    check_plan(plan);
    CHECK(plan.uniform_records() == 25);
    CHECK(plan.stratified_records() == 15);
    CHECK(plan.drawn_records() == 40);
    const TablePlan all{.candidates = 20, .records = 50, .stratified = 0.8, .near = 0.2};
    check_plan(all);
    CHECK(all.uniform_records() == 0);
}

TEST_CASE("subsets drawn by class have every make-up as often, whatever is common", "[plan]") {
    // Class 0: candidates 0 to 79, class 1: 80 to 89, none: 90 to 99.
    TablePlan plan{.candidates = 100, .records = 4000, .least_size = 1, .most_size = 1};
    std::vector<float> counts(200, 0.0F);
    for (std::size_t i = 0; i < 80; ++i) counts[2 * i] = 3.0F;
    for (std::size_t i = 80; i < 90; ++i) counts[2 * i + 1] = 1.0F;
    const auto place = [](std::int32_t item) { return item < 80 ? 0 : item < 90 ? 1 : 2; };
    const Strata single(plan, counts);
    std::array<int, 3> first{};
    std::map<std::int32_t, int> items;
    for (std::int64_t number = 0; number < plan.records; ++number) {
        const auto subset = single.subset(number);
        REQUIRE(subset.size() == 1);
        ++first[static_cast<std::size_t>(place(subset[0]))];
        ++items[subset[0]];
    }
    // The mean share of Dirichlet(1, 1, 1) is 1/3: 1333 of 4000, deviation 30. In a class all
    // candidates are as likely: 133 times one of ten, deviation 11.
    for (const int count : first) CHECK(std::abs(count - 1333) < 150);
    for (std::int32_t i = 80; i < 100; ++i) CHECK(std::abs(items[i] - 133) < 58);

    // With replacement none of ten would be of class 0 with probability E[(1 - s)^10] = 2/12, s its
    // share, of Beta(1, 2): 667 of 4000. Without, the others run out, so it is less often; of
    // uniform subsets one in 10^8 is such.
    plan.least_size = plan.most_size = 10;
    const Strata tens(plan, counts);
    int rare = 0;
    std::map<std::size_t, int> sizes;
    for (std::int64_t number = 0; number < plan.records; ++number) {
        const auto subset = tens.subset(number);
        CHECK(std::is_sorted(subset.begin(), subset.end()));
        ++sizes[std::set<std::int32_t>(subset.begin(), subset.end()).size()];
        rare += std::count_if(subset.begin(), subset.end(),
                              [&](std::int32_t item) { return place(item) != 0; }) == 10;
    }
    CHECK(sizes == std::map<std::size_t, int>{{10, 4000}});
    CHECK((rare > 200 && rare < 667));
}

TEST_CASE("a candidate of two classes counts for both in parts", "[plan]") {
    // Candidate 0 has both labels; 1 has class 0 and 2 has class 1. All have a label. The first one
    // drawn is of class c with probability s_c; of it candidate 0 is a third: so 1/3 each.
    const TablePlan plan{.candidates = 3, .records = 3000, .least_size = 1, .most_size = 1};
    const std::vector<float> counts{1, 1, 2, 0, 0, 5};
    const Strata strata(plan, counts);
    std::array<int, 3> items{};
    for (std::int64_t number = 0; number < plan.records; ++number) {
        ++items[static_cast<std::size_t>(strata.subset(number)[0])];
    }
    for (const int count : items) CHECK(std::abs(count - 1000) < 130);
    CHECK_THROWS_WITH(Strata(plan, std::vector<float>(4)), contains("3 candidates"));
    CHECK_THROWS_WITH(Strata(plan, {}), contains("0 counts"));
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
    CHECK_THROWS_WITH(check_plan(with([](TablePlan& p) { p.stratified = -0.1; })),
                      contains("stratified records is -0.1"));
    CHECK_THROWS_WITH(check_plan(with([](TablePlan& p) {
                          p.stratified = 0.8;
                          p.near = 0.3;
                      })),
                      contains("their sum 1 at most"));
    CHECK_THROWS_WITH(check_plan(with([](TablePlan& p) { p.shard = p.shards = 4; })),
                      contains("counted from 0"));
}
