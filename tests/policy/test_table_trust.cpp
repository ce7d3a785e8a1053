#include <cmath>

#include "src/base/check.hpp"
#include "src/policy/lookup_table/table_trust.hpp"
#include "src/random/philox.hpp"
#include "tests/support/catch.hpp"

using namespace thresher;
using test::contains;

namespace {

/// Subset i of 40 candidates is {i}; what each of `repeats` trainings gave.
LookupTable table_of(const std::vector<double>& values, std::int64_t repeats) {
    LookupTable table(40);
    table.repeats = repeats;
    table.candidates_checksum = "same";
    for (std::int64_t i = 0; i < std::ssize(values) / repeats; ++i) {
        table.subsets.add(std::vector<std::int32_t>{static_cast<std::int32_t>(i)});
        table.numbers.push_back(i);
        table.seeds.push_back(0);
        table.seconds.push_back(0.0);
    }
    table.metrics["accuracy"] = values;
    return table;
}

}  // namespace

TEST_CASE("the spread of a table is told apart into subsets and seeds") {
    // Means 1, 3 and 5, variance 4; each training is 0.5 off its mean, so a seed's variance is
    // (0.25 + 0.25) / 1 = 0.5, and that of subsets 4 - 0.5 / 2 = 3.75.
    const TableSpread spread =
        table_spread(table_of({0.5, 1.5, 3.5, 2.5, 4.5, 5.5}, 2), "accuracy");
    CHECK(spread.records == 3);
    CHECK(std::abs(spread.over_seeds - std::sqrt(0.5)) < 1e-12);
    CHECK(std::abs(spread.over_subsets - std::sqrt(3.75)) < 1e-12);
    CHECK(std::abs(spread.reliability - 3.75 / 4.0) < 1e-12);
    CHECK(spread.informative());
}

TEST_CASE("a table of noise is not informative, and one training tells nothing of noise") {
    std::vector<double> noise;
    const KeyedRandom random(1, Stream::synthetic, 0);
    for (std::int64_t i = 0; i < 80; ++i) noise.push_back(random.normal(i));
    const TableSpread spread = table_spread(table_of(noise, 2), "accuracy");
    CHECK(spread.known());
    CHECK_FALSE(spread.informative());
    CHECK(spread.reliability < 0.5);
    const TableSpread single = table_spread(table_of({1, 2, 3, 4}, 1), "accuracy");
    CHECK_FALSE(single.known());
    CHECK_FALSE(single.informative());
    CHECK(std::abs(single.over_subsets - std::sqrt(5.0 / 3.0)) < 1e-12);
}

TEST_CASE("records without a number have no part in a spread") {
    const TableSpread spread = table_spread(table_of({1, 1, std::nan(""), 7, 3, 3}, 2), "accuracy");
    CHECK(spread.records == 2);
    CHECK(std::abs(spread.over_subsets - std::sqrt(2.0)) < 1e-12);
    CHECK_THROWS_WITH(table_spread(table_of({1, 1, std::nan(""), 7}, 2), "accuracy"),
                      contains("1 records"));
    CHECK_THROWS_WITH(table_spread(table_of({1, 2}, 1), "loss"), contains("\"loss\""));
}

TEST_CASE("tables are compared over the subsets that both have") {
    const LookupTable a = table_of({1, 2, 3, 4, 5}, 1);
    LookupTable b = table_of({10, 9, 8, 0}, 1);
    CHECK(compare_tables(a, "accuracy", b, "accuracy").records == 4);
    CHECK(compare_tables(a, "accuracy", b, "accuracy").rank_correlation == -1.0);
    CHECK(compare_tables(a, "accuracy", a, "accuracy").rank_correlation == 1.0);
    CHECK_THROWS_WITH(compare_tables(a, "accuracy", table_of({1, 2}, 1), "accuracy"),
                      contains("2 subsets are in both"));
    b.candidates_checksum = "other";
    CHECK_THROWS_WITH(compare_tables(a, "accuracy", b, "accuracy"), contains("other candidates"));
}

TEST_CASE("class coverage counts labels by class") {
    LookupTable table(3);
    table.subsets.add(std::vector<std::int32_t>{0, 2});
    table.subsets.add(std::vector<std::int32_t>{1});
    CHECK(class_coverage(table).empty());
    table.facts.label_counts = {2, 0, 0, 1, 1, 0};  // of candidates 0, 1 and 2
    const std::vector<double> coverage = class_coverage(table);
    CHECK(std::abs(coverage[0] - std::log(4.0)) < 1e-12);
    CHECK(std::abs(coverage[1] - std::log(2.0)) < 1e-12);
}
