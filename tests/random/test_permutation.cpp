#include <cmath>
#include <vector>

#include "src/random/permutation.hpp"
#include "tests/support/catch.hpp"

using namespace thresher;

TEST_CASE("every element comes exactly once, for any size") {
    for (std::int64_t n : {1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 100, 127, 128, 129, 1000, 4097}) {
        const KeyedPermutation permutation(n, 42, Stream::epoch_order, 3);
        std::vector<int> seen(static_cast<std::size_t>(n), 0);
        for (std::int64_t i = 0; i < n; ++i) {
            const std::int64_t element = permutation(i);
            REQUIRE(element >= 0);
            REQUIRE(element < n);
            ++seen[static_cast<std::size_t>(element)];
            CHECK(permutation.position_of(element) == i);
        }
        for (int times : seen) CHECK(times == 1);
    }
}

TEST_CASE("positions of the largest pool are reached at once and inverted") {
    const std::int64_t n = (std::int64_t{1} << 40) - 12345;
    const KeyedPermutation permutation(n, 1, Stream::epoch_order, 0);
    for (std::int64_t position : {std::int64_t{0}, std::int64_t{1}, n / 2, n - 1}) {
        CHECK(permutation.position_of(permutation(position)) == position);
    }
    CHECK_THROWS_AS(KeyedPermutation((std::int64_t{1} << 40) + 1, 1, Stream::epoch_order, 0),
                    Error);
    CHECK_THROWS_AS(KeyedPermutation(0, 1, Stream::epoch_order, 0), Error);
    CHECK_THROWS_AS(permutation(n), Error);
}

TEST_CASE("over many keys, each element is equally likely at each position") {
    constexpr int kKeys = 30000;
    for (std::int64_t n : {3, 6, 10}) {
        std::vector<int> count(static_cast<std::size_t>(n * n), 0);
        for (int key = 0; key < kKeys; ++key) {
            const KeyedPermutation permutation(n, static_cast<std::uint64_t>(key), Stream::subset,
                                               0);
            for (std::int64_t i = 0; i < n; ++i) {
                ++count[static_cast<std::size_t>(i * n + permutation(i))];
            }
        }
        const double p = 1.0 / static_cast<double>(n);
        for (int seen : count) {
            CHECK(std::abs(seen / double{kKeys} - p) <= 5.0 * std::sqrt(p * (1 - p) / kKeys));
        }
    }
}

TEST_CASE("neighbouring positions are not neighbours after the permutation") {
    constexpr std::int64_t kSize = 100000;
    const KeyedPermutation permutation(kSize, 7, Stream::epoch_order, 1);
    double distance = 0;
    for (std::int64_t i = 0; i + 1 < kSize; ++i) {
        distance += std::abs(static_cast<double>(permutation(i + 1) - permutation(i)));
    }
    // The mean distance of two random elements of [0, n) is n / 3, with standard deviation n /
    // sqrt(18).
    CHECK(std::abs(distance / kSize / kSize - 1.0 / 3.0) < 5.0 / std::sqrt(18.0 * kSize));
}
