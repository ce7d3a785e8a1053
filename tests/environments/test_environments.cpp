#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <tuple>

#include "src/base/check.hpp"
#include "src/environments/environments.hpp"
#include "src/random/philox.hpp"
#include "tests/support/catch.hpp"

using namespace thresher;
using thresher::test::contains;

namespace {

bool same(const Points& a, const Points& b) {
    return a.rows == b.rows && a.features == b.features && a.targets == b.targets;
}

/// Rows whose first `spread.size()` features vary by that much, the others not at all, turned by
/// nothing: principal components are known.
Points axis_points(std::int64_t rows, const std::vector<double>& spread) {
    const KeyedRandom random(3, Stream::synthetic, 0);
    const auto d = std::ssize(spread);
    Points points;
    points.rows = rows;
    for (std::int64_t i = 0; i < rows; ++i) {
        for (std::int64_t j = 0; j < d; ++j) {
            points.features.push_back(static_cast<float>(5.0 + spread[static_cast<std::size_t>(j)] *
                                                                   random.normal(i * d + j)));
        }
        points.targets.push_back(static_cast<std::int32_t>(i % 3));
    }
    return points;
}

}  // namespace

TEST_CASE("an environment has the bits of its seed and other bits under another",
          "[environments]") {
    for (const char* name : {"ring", "ringdup"}) {
        const EnvironmentOptions options{.name = name, .repeat = 2};
        const Environment a = make_environment(options, 1), b = make_environment(options, 1);
        for (const auto part : {&Environment::labelled, &Environment::candidates,
                                &Environment::reward, &Environment::test}) {
            CHECK(same(a.*part, b.*part));
            CHECK_FALSE(same(a.*part, make_environment(options, 2).*part));
        }
        CHECK(a.candidates.rows == 200);
        CHECK(a.labelled.rows == 20);
        CHECK(a.dimensions == 2);
    }
}

TEST_CASE("the standard environment is the same under every seed", "[environments]") {
    const EnvironmentOptions options{.name = "standard", .candidates = 50};
    const Environment one = make_environment(options, 1), other = make_environment(options, 2);
    for (const auto part : {&Environment::labelled, &Environment::candidates, &Environment::reward,
                            &Environment::test}) {
        CHECK(same(one.*part, other.*part));
    }
    CHECK(one.candidates.rows == 50);
    CHECK_THROWS_WITH(make_environment({.name = "standard", .candidates = 60}, 1),
                      contains("50 candidates") && contains("60 candidates"));
}

TEST_CASE("points of the ring lie on it and the blob lies within", "[environments]") {
    const Environment environment = make_environment({.name = "ringdup", .candidates = 1000}, 7);
    const auto radius = [](const Points& points, std::int64_t i) {
        const auto at = static_cast<std::size_t>(2 * i);
        return std::hypot(double{points.features[at]}, double{points.features[at + 1]});
    };
    std::int64_t inside = 0;
    std::map<std::int32_t, int> of_blob;
    for (std::int64_t i = 0; i < 1000; ++i) {
        if (radius(environment.candidates, i) > 0.6) continue;
        ++inside;
        ++of_blob[environment.candidates.targets[static_cast<std::size_t>(i)]];
    }
    // Normal in the plane with deviation .2: 1.1 % of the blob's 700 lie beyond .6.
    CHECK(std::abs(static_cast<double>(inside) - 692.0) < 20.0);
    // The blob's classes are drawn evenly: 175 each, deviation 11.5.
    for (const auto& [target, count] : of_blob) CHECK(std::abs(count - 173) < 58);
    for (std::int64_t i = 0; i < environment.reward.rows; ++i) {
        CHECK(std::abs(radius(environment.reward, i) - 1.0) < 0.5);
    }
}

TEST_CASE("copies of candidates are near their original and keep its target", "[environments]") {
    const EnvironmentOptions options{.name = "pool",
                                     .candidates = 80,
                                     .labelled = 9,
                                     .reward = 12,
                                     .test = 15,
                                     .repeat = 4,
                                     .repeat_noise = 0.01};
    const Points pool = axis_points(options.rows(), {2.0, 1.0});
    const Environment environment = make_environment(options, 1, pool, 2, 3);
    const Points& candidates = environment.candidates;
    REQUIRE(candidates.rows == 80);
    std::int64_t exact = 0;
    std::map<std::size_t, int> copies;
    for (std::size_t i = 0; i < 80; ++i) {
        std::size_t nearest = 0;
        double least = 1e9;
        for (std::size_t from = 9; from < 29; ++from) {  // the candidates' rows
            const double distance = std::hypot(
                double{candidates.features[2 * i]} - double{pool.features[2 * from]},
                double{candidates.features[2 * i + 1]} - double{pool.features[2 * from + 1]});
            if (distance < least) nearest = from, least = distance;
        }
        CHECK(least < 0.1);
        CHECK(candidates.targets[i] == pool.targets[nearest]);
        exact += least == 0.0 ? 1 : 0;
        ++copies[nearest];
    }
    CHECK(exact == 20);
    for (const auto& [from, count] : copies) CHECK(count == 4);
}

TEST_CASE("rows are drawn once each, and every part has the pool's share of classes",
          "[environments]") {
    // 60 % of class 0, 30 % of class 1, 10 % of class 2, and rows nobody knows.
    std::vector<std::int64_t> targets;
    for (int i = 0; i < 1000; ++i) targets.push_back(i % 10 < 6 ? 0 : i % 10 < 9 ? 1 : 2);
    for (int i = 0; i < 100; ++i) targets.push_back(-1);
    const EnvironmentOptions options{
        .name = "pool", .candidates = 100, .labelled = 20, .reward = 300, .test = 500};
    const auto rows = draw_rows(targets, options, 5);
    REQUIRE(std::ssize(rows) == 920);
    CHECK(std::set<std::int64_t>(rows.begin(), rows.end()).size() == 920);
    std::size_t begin = 0;
    for (const std::size_t count : {20U, 100U, 300U, 500U}) {
        std::array<double, 3> found{};
        for (std::size_t i = begin; i < begin + count; ++i) {
            REQUIRE(targets[static_cast<std::size_t>(rows[i])] >= 0);
            ++found[static_cast<std::size_t>(targets[static_cast<std::size_t>(rows[i])])];
        }
        const std::array<double, 3> share{0.6, 0.3, 0.1};
        for (std::size_t c = 0; c < 3; ++c) {
            CHECK(std::abs(found[c] - share[c] * static_cast<double>(count)) <= 1.0);
        }
        begin += count;
    }
    CHECK(rows == draw_rows(targets, options, 5));
    CHECK(rows != draw_rows(targets, options, 6));
}

TEST_CASE("training and fresh environments of a pool share no row", "[environments]") {
    std::vector<std::int64_t> targets;
    for (int i = 0; i < 3000; ++i) targets.push_back(i % 3);
    const EnvironmentOptions options{
        .name = "pool", .candidates = 200, .labelled = 20, .reward = 300, .test = 600};
    std::array<std::set<std::int64_t>, 2> seen;
    for (const Half half : {Half::training, Half::fresh}) {
        const auto own = targets_of_half(targets, half);
        // Halves of 3000 rows: 1500, deviation 27.
        const auto known = static_cast<double>(own.size()) -
                           static_cast<double>(std::count(own.begin(), own.end(), -1));
        CHECK(std::abs(known - 1500.0) < 110.0);
        for (std::uint64_t seed = 1; seed <= 5; ++seed) {
            for (const std::int64_t row : draw_rows(own, options, seed)) {
                CHECK(half_of(row) == half);
                seen[half == Half::fresh ? 1 : 0].insert(row);
            }
        }
    }
    CHECK(seen[0].size() > 1300);  // all but a few of the half were drawn
    CHECK(seen[1].size() > 1300);
    for (const std::int64_t row : seen[0]) CHECK(seen[1].count(row) == 0);
}

TEST_CASE("principal components are the axes of the largest spread", "[environments]") {
    const EnvironmentOptions options{.name = "pool",
                                     .candidates = 600,
                                     .labelled = 30,
                                     .reward = 600,
                                     .test = 10,
                                     .components = 2};
    const Points pool = axis_points(options.rows(), {0.1, 3.0, 0.2, 1.0});
    const Environment environment = make_environment(options, 1, pool, 4, 3);
    REQUIRE(environment.dimensions == 2);
    // Variances 9 and 1, scaled by one factor to a mean of 1: feature 1 and 3 over sqrt(5).
    for (std::size_t i = 0; i < 10; ++i) {
        const std::size_t row = 30 + i;
        const double x = (double{pool.features[4 * row + 1]} - 5.0) / std::sqrt(5.0);
        const double y = (double{pool.features[4 * row + 3]} - 5.0) / std::sqrt(5.0);
        CHECK(double{environment.candidates.features[2 * i]} == Approx(x).margin(0.15));
        CHECK(double{environment.candidates.features[2 * i + 1]} == Approx(y).margin(0.15));
    }
}

TEST_CASE("rows drawn are the first of the whole pool in order of place, key and row",
          "[environments]") {
    // The definition, written down with everything sorted: row i of the n of a class stands at
    // (i + u) / n.
    std::vector<std::int64_t> targets;
    for (std::int64_t i = 0; i < 500; ++i) targets.push_back(i % 7 == 0 ? -1 : i * i % 5);
    const EnvironmentOptions options{
        .name = "pool", .candidates = 60, .labelled = 10, .reward = 50, .test = 100};
    const KeyedRandom order(9, Stream::environment, 0), phase(9, Stream::environment, 1);
    std::map<std::int64_t, std::set<std::pair<std::uint64_t, std::int64_t>>> of_class;
    for (std::int64_t row = 0; row < 500; ++row) {
        const std::int64_t target = targets[static_cast<std::size_t>(row)];
        if (target >= 0) of_class[target].emplace(order.bits(row), row);
    }
    std::set<std::tuple<double, std::int64_t, std::int64_t>> places;
    for (const auto& [target, rows] : of_class) {
        double i = phase.uniform(target);
        for (const auto& [key, row] : rows) {
            places.emplace(i++ / static_cast<double>(rows.size()), target, row);
        }
    }
    auto place = places.begin();
    for (const std::int64_t row : draw_rows(targets, options, 9)) {
        CHECK(row == std::get<2>(*place++));
    }
}

TEST_CASE("components of fewer rows than features are those of the features that vary",
          "[environments]") {
    const EnvironmentOptions options{.name = "pool",
                                     .candidates = 20,
                                     .labelled = 10,
                                     .reward = 20,
                                     .test = 10,
                                     .components = 3};
    const Points narrow = axis_points(options.rows(), {0.3, 3.0, 1.0, 2.0});
    Points wide = narrow;  // the same features, and 96 that are 1 everywhere
    wide.features.clear();
    for (std::size_t i = 0; i < narrow.features.size(); i += 4) {
        wide.features.insert(wide.features.end(), 96, 1.0F);
        wide.features.insert(wide.features.end(), narrow.features.begin() + static_cast<long>(i),
                             narrow.features.begin() + static_cast<long>(i + 4));
    }
    const Environment of_narrow = make_environment(options, 1, narrow, 4, 3);
    const Environment of_wide = make_environment(options, 1, wide, 100, 3);
    for (const auto part : {&Environment::candidates, &Environment::test}) {
        const auto& expected = (of_narrow.*part).features;
        REQUIRE((of_wide.*part).features.size() == expected.size());
        for (std::size_t i = 0; i < expected.size(); ++i) {
            CHECK(double{(of_wide.*part).features[i]} == Approx(double{expected[i]}).margin(1e-5));
        }
    }
    EnvironmentOptions too_many = options;
    too_many.components = 50;
    CHECK_THROWS_WITH(make_environment(too_many, 1, wide, 100, 3), contains("49 or fewer"));
}

TEST_CASE("environments that cannot be made say why", "[environments]") {
    CHECK_THROWS_WITH(make_environment({.name = "moon"}, 1),
                      contains("moon") && contains("ringdup"));
    CHECK_THROWS_WITH(make_environment({.candidates = 0}, 1), contains("0 candidates"));
    CHECK_THROWS_WITH(make_environment({.candidates = 10, .repeat = 4}, 1), contains("multiple"));
    CHECK_THROWS_WITH(draw_rows(std::vector<std::int64_t>(50, 0), {.name = "pool"}, 1),
                      contains("drawn from has 50"));
    const EnvironmentOptions options{
        .name = "pool", .candidates = 5, .labelled = 5, .reward = 5, .test = 5, .components = 9};
    CHECK_THROWS_WITH(make_environment(options, 1, axis_points(20, {1.0, 1.0}), 2, 3),
                      contains("9 principal components of 2 features"));
}
