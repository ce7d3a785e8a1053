#include <algorithm>
#include <vector>

#include "src/random/philox.hpp"
#include "tests/support/catch.hpp"

using namespace thresher;

TEST_CASE("philox gives the published known answers") {
    // Random123, kat_vectors: philox4x32, 10 rounds.
    using Words = std::array<std::uint32_t, 4>;
    CHECK(philox_block({0, 0, 0, 0}, {0, 0}) ==
          Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
    CHECK(
        philox_block({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}) ==
        Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
    CHECK(
        philox_block({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("a draw is the documented half of the documented block") {
    const KeyedRandom random(0x0000000500000007U, Stream::selection, 9);
    const auto block = philox_block({3, 0, 9, (1U << 16) | 2}, {7, 5});
    CHECK(random.bits(6, 2) == ((std::uint64_t{block[0]} << 32) | block[1]));
    CHECK(random.bits(7, 2) == ((std::uint64_t{block[2]} << 32) | block[3]));
}

TEST_CASE("seeds, streams, rounds, ids and draws all matter") {
    const std::uint64_t base = KeyedRandom(1, Stream::selection, 1).bits(1, 1);
    CHECK(base != KeyedRandom(2, Stream::selection, 1).bits(1, 1));
    CHECK(base != KeyedRandom(std::uint64_t{1} << 40, Stream::selection, 1).bits(1, 1));
    CHECK(base != KeyedRandom(1, Stream::jitter, 1).bits(1, 1));
    CHECK(base != KeyedRandom(1, Stream::selection, 2).bits(1, 1));
    CHECK(base != KeyedRandom(1, Stream::selection, 1).bits(std::int64_t{1} << 40, 1));
    CHECK(base != KeyedRandom(1, Stream::selection, 1).bits(1, 2));
}

TEST_CASE("the uniform never reaches 0 or 1") {
    CHECK(open_uniform(0) == 0x1p-53);
    CHECK(open_uniform(~std::uint64_t{0}) == 1.0 - 0x1p-53);
    CHECK(open_uniform(std::uint64_t{1} << 63) == 0.5 + 0x1p-53);
}

TEST_CASE("moments of uniform, normal and gumbel are those of their laws") {
    constexpr int kDraws = 200000;
    const KeyedRandom random(11, Stream::synthetic, 0);
    double uniform = 0, normal = 0, normal_squared = 0, gumbel = 0;
    for (int i = 0; i < kDraws; ++i) {
        uniform += random.uniform(i);
        const double z = random.normal(i, 1);
        normal += z;
        normal_squared += z * z;
        gumbel += random.gumbel(i, 7);
    }
    // Five standard errors: sd 1/sqrt(12), 1, sqrt(2), pi/sqrt(6), each over sqrt(draws).
    const double unit = 5.0 / std::sqrt(double{kDraws});
    CHECK(std::abs(uniform / kDraws - 0.5) < unit * 0.2887);
    CHECK(std::abs(normal / kDraws) < unit);
    CHECK(std::abs(normal_squared / kDraws - 1.0) < unit * 1.4143);
    CHECK(std::abs(gumbel / kDraws - std::numbers::egamma) < unit * 1.2826);
}

TEST_CASE("bounded integers are uniform and stay below the bound") {
    const KeyedRandom random(3, Stream::synthetic, 0);
    for (std::int64_t bound : {1, 2, 3, 7, 10}) {
        std::vector<int> count(static_cast<std::size_t>(bound), 0);
        constexpr int kDraws = 70000;
        for (int i = 0; i < kDraws; ++i) {
            const std::int64_t value = random.integer(i, bound);
            REQUIRE(value >= 0);
            REQUIRE(value < bound);
            ++count[static_cast<std::size_t>(value)];
        }
        const double p = 1.0 / static_cast<double>(bound);
        for (int seen : count) {
            CHECK(std::abs(seen / double{kDraws} - p) <= 5.0 * std::sqrt(p * (1 - p) / kDraws));
        }
    }
    CHECK_THROWS_WITH(random.integer(0, 0), thresher::test::contains("bound must be 1 or more"));
}
