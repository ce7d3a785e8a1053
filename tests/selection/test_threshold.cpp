// Where the cut falls among keys, and the passes over keys that it is found by.

#include <algorithm>
#include <limits>
#include <vector>

#include "src/base/check.hpp"
#include "src/base/thread_collective.hpp"
#include "src/random/philox.hpp"
#include "src/selection/global_threshold.hpp"
#include "src/selection/key_search.hpp"
#include "tests/support/catch.hpp"

using namespace thresher;

namespace {

using Keys = std::vector<std::uint32_t>;

constexpr std::uint32_t kHighest = std::numeric_limits<std::uint32_t>::max();

/// Keys of [lowest, lowest + span], both ends among them, some more than once.
Keys random_keys(std::size_t count, std::uint32_t lowest, std::uint32_t span) {
    const KeyedRandom random(span, Stream::synthetic, lowest);
    Keys keys{lowest, lowest + span};
    while (keys.size() < count) {
        const auto place = static_cast<std::int64_t>(keys.size());
        const std::int64_t above = random.integer(place, std::int64_t{span} + 1);
        keys.push_back(lowest + static_cast<std::uint32_t>(above));
        if (place % 3 == 0) keys.push_back(keys.back());
    }
    return keys;
}

/// All ranks' answers, the keys dealt to them in two pieces each; rank 1 of more has none.
std::vector<Threshold> thresholds_over(int ranks, const Keys& keys, std::int64_t k) {
    std::vector<Threshold> found(static_cast<std::size_t>(ranks));
    run_simulated_ranks(ranks, [&](Collective& collective) {
        Keys own;
        for (std::size_t i = 0; i < keys.size(); ++i) {
            int owner = static_cast<int>(i % 5) % ranks;
            if (owner == 1) owner = 0;
            if (owner == collective.rank()) own.push_back(keys[i]);
        }
        const std::span all(own);
        const std::vector<std::span<const std::uint32_t>> pieces{all.first(own.size() / 3),
                                                                 all.subspan(own.size() / 3)};
        found[static_cast<std::size_t>(collective.rank())] = find_threshold(collective, pieces, k);
    });
    return found;
}

}  // namespace

TEST_CASE("the k-th largest key is found wherever keys lie and however far apart") {
    for (const std::uint32_t span : {0U, 1U, 2U, 2047U, 2048U, 2049U, 1U << 21, (1U << 22) - 1,
                                     1U << 31, kHighest - 1, kHighest}) {
        for (const std::uint32_t lowest : {0U, 12345U, kHighest - span}) {
            if (lowest > kHighest - span) continue;
            Keys keys = random_keys(3000, lowest, span);
            Keys sorted = keys;
            std::sort(sorted.begin(), sorted.end(), std::greater<>());
            const auto count = std::ssize(keys);
            for (const std::int64_t k : {std::int64_t{1}, std::int64_t{2}, count / 2, count}) {
                const std::uint32_t key = sorted[static_cast<std::size_t>(k - 1)];
                for (const int ranks : {1, 3}) {
                    std::vector<std::int64_t> counts(2048);
                    for (const Threshold& found : thresholds_over(ranks, keys, k)) {
                        CHECK(found.k == k);
                        CHECK(found.key == key);
                        CHECK(found.greater ==
                              std::count_if(keys.begin(), keys.end(),
                                            [&](auto other) { return other > key; }));
                        CHECK(found.equal == std::count(keys.begin(), keys.end(), key));
                        CHECK(found.range.lowest == lowest);
                        CHECK((std::uint64_t{1} << found.range.bits) > span);
                        REQUIRE(found.own_counts.size() == counts.size());
                        for (std::size_t digit = 0; digit < counts.size(); ++digit) {
                            counts[digit] += found.own_counts[digit];
                        }
                    }
                    const KeyInterval range = thresholds_over(1, keys, k)[0].range;
                    for (const std::uint32_t other : keys) --counts[range.digit_of(other)];
                    CHECK(std::count(counts.begin(), counts.end(), 0) == 2048);
                }
            }
        }
    }
}

TEST_CASE("a key beyond all there are is refused on all ranks") {
    for (const Keys& keys : {Keys{}, Keys{7, 7, 9}}) {
        for (const int ranks : {1, 3}) {
            CHECK_THROWS_WITH(thresholds_over(ranks, keys, 4),
                              test::contains("the 4-th largest key"));
        }
    }
}

TEST_CASE("keys are found in blocks, between blocks and after the last") {
    for (std::size_t size = 0; size < 700; ++size) {
        const Keys keys = random_keys(std::max<std::size_t>(size, 2), 100, 50);
        const auto part = std::span(keys).first(size);
        for (const std::uint32_t width : {0U, 3U, 50U, kHighest}) {
            std::vector<std::size_t> expected{42}, found{42};
            for (std::size_t i = 0; i < size; ++i) {
                if (part[i] - 120U <= width) expected.push_back(i);
            }
            find_keys(part, 120, width, found);
            REQUIRE(found == expected);
        }
        Keys one(size, 5);
        if (size > 0) one.back() = 6;
        std::vector<std::size_t> found;
        find_keys(one, 6, 0, found);
        REQUIRE(found == std::vector<std::size_t>(size > 0 ? 1 : 0, size - 1));

        std::uint32_t smallest = 110, largest = 111;
        widen_range(part, smallest, largest);
        std::uint32_t low = 110, high = 111;
        for (const std::uint32_t key : part) {
            low = std::min(low, key);
            high = std::max(high, key);
        }
        REQUIRE(smallest == low);
        REQUIRE(largest == high);
    }
}
