#include <algorithm>
#include <set>

#include "src/base/check.hpp"
#include "tests/policy/lookup_support.hpp"
#include "tests/support/catch.hpp"

using namespace thresher;
using thresher::test::contains;

TEST_CASE("subsets keep their members at any number of candidates", "[lookup]") {
    for (const std::int64_t n : {1, 63, 64, 65, 100, 1000}) {
        PackedSubsets subsets(n);
        const std::vector<std::int32_t> ends{static_cast<std::int32_t>(n - 1)};
        subsets.add(ends);
        subsets.add(std::vector<std::int32_t>{});
        subsets.add(std::vector<std::int32_t>{-1, 0});
        CHECK(subsets.size() == 3);
        CHECK(subsets.members(0) == ends);
        CHECK(subsets.members(1).empty());
        CHECK(subsets.members(2) == std::vector<std::int32_t>{0});
        CHECK(subsets.members_count(2) == 1);
    }
}

TEST_CASE("distances count what one subset alone holds", "[lookup]") {
    // More words than a vector has lanes, and a tail.
    for (const std::int64_t n : {5, 64, 200, 1500}) {
        PackedSubsets records(n), queries(n);
        std::vector<std::set<std::int32_t>> of_records, of_queries;
        for (std::uint32_t i = 0; i < 11; ++i) {
            const auto subset = toy_subset(n, std::min<std::int64_t>(n, 1 + i * 7), i);
            records.add(subset);
            of_records.emplace_back(subset.begin(), subset.end());
        }
        for (std::uint32_t i = 0; i < 6; ++i) {
            const auto subset = toy_subset(n, std::min<std::int64_t>(n, 30), 100 + i);
            queries.add(subset);
            of_queries.emplace_back(subset.begin(), subset.end());
        }
        const auto found = subset_distances(records, queries);
        const NearestRecords nearest = nearest_records(records, queries, 4);
        for (std::size_t q = 0; q < 6; ++q) {
            std::vector<std::pair<std::int32_t, std::int32_t>> expected;
            for (std::size_t r = 0; r < 11; ++r) {
                std::vector<std::int32_t> different;
                std::set_symmetric_difference(of_records[r].begin(), of_records[r].end(),
                                              of_queries[q].begin(), of_queries[q].end(),
                                              std::back_inserter(different));
                CHECK(found[11 * q + r] == std::ssize(different));
                expected.emplace_back(different.size(), r);
            }
            std::sort(expected.begin(), expected.end());
            for (std::size_t i = 0; i < 4; ++i) {
                CHECK(nearest.distances[4 * q + i] == expected[i].first);
                CHECK(nearest.records[4 * q + i] == expected[i].second);
            }
        }
    }
}

TEST_CASE("subsets that cannot be are refused and leave nothing behind", "[lookup]") {
    PackedSubsets subsets(10);
    CHECK_THROWS_WITH(subsets.add(std::vector<std::int32_t>{3, 10}), contains("candidate 10"));
    CHECK_THROWS_WITH(subsets.add(std::vector<std::int32_t>{-2}), contains("candidate -2"));
    CHECK_THROWS_WITH(subsets.add(std::vector<std::int32_t>{4, 4}), contains("4 twice"));
    CHECK(subsets.size() == 0);
    CHECK_THROWS_WITH(PackedSubsets(0), contains("1 is the fewest"));
    CHECK_THROWS_WITH(PackedSubsets(10, {std::uint64_t{1} << 10}), contains("beyond the 10"));
    CHECK_THROWS_WITH(PackedSubsets(100, {1, 2, 3}), contains("whole number"));
    subsets.add(std::vector<std::int32_t>{1});
    CHECK_THROWS_WITH(nearest_records(subsets, subsets, 2), contains("of 1 records"));
    CHECK_THROWS_WITH(nearest_records(subsets, PackedSubsets(11), 1), contains("11 candidates"));
}
