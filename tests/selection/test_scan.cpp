#include "src/selection/scan.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "src/selection/ordered_key.hpp"
#include "tests/support/catch.hpp"

using namespace thresher;

namespace {

std::vector<std::uint32_t> to_vector(std::span<const std::uint32_t> values) {
    return {values.begin(), values.end()};
}

}  // namespace

TEST_CASE("ordered keys have the order of the floats, and can be inverted") {
    const float lowest = std::numeric_limits<float>::lowest();
    const float tiny = std::numeric_limits<float>::denorm_min();
    const std::vector<float> ascending{lowest, -2.0F, -1.5F,           -tiny,  0.0F,
                                       tiny,   1.0F,  1.0F + 0x1p-23F, -lowest};
    for (std::size_t i = 0; i + 1 < ascending.size(); ++i) {
        CHECK(ordered_key(ascending[i]) < ordered_key(ascending[i + 1]));
        CHECK(from_ordered_key(ordered_key(ascending[i])) == ascending[i]);
    }
    CHECK(ordered_key(-0.0F) == ordered_key(0.0F));
}

TEST_CASE("a scan finds what a loop finds, for every length and place in a vector") {
    const KeyedRandom random(1, Stream::synthetic, 0);
    for (std::size_t count : {0UL, 1UL, 7UL, 31UL, 64UL, 100UL, 1000UL, 1024UL, 5000UL, 10240UL}) {
        std::vector<float> scores;
        for (std::size_t i = 0; i < count; ++i) {
            scores.push_back(static_cast<float>(random.normal(static_cast<std::int64_t>(i))));
        }
        if (count > 5) {
            scores[3] = std::numeric_limits<float>::quiet_NaN();
            scores[count - 2] = std::numeric_limits<float>::infinity();
        }
        for (const float threshold : {-std::numeric_limits<float>::infinity(), 0.0F, 1.5F}) {
            Hits hits;
            std::vector<std::uint32_t> bad;
            scan_scores(scores, 10, threshold, hits, bad);
            std::vector<std::uint32_t> candidates, keys, not_finite;
            for (std::uint32_t i = 0; i < count; ++i) {
                if (!std::isfinite(scores[i])) {
                    not_finite.push_back(10 + i);
                } else if (scores[i] >= threshold) {
                    candidates.push_back(10 + i);
                    keys.push_back(ordered_key(scores[i]));
                }
            }
            CHECK(to_vector(hits.offsets()) == candidates);
            CHECK(to_vector(hits.keys()) == keys);
            CHECK(bad == not_finite);
        }
    }
}

TEST_CASE("a noisy key is the perturbed score of its definition") {
    const GumbelKeys keys{KeyedRandom(8, Stream::selection, 2), 4.0, 1.5};
    const std::vector<float> scores{-3.0F, 0.0F, 0.125F, 2.0F, 1.0e6F};
    std::vector<std::uint64_t> bits;
    for (std::int64_t id = 0; id < 5; ++id) bits.push_back(keys.random.bits(id));
    std::vector<float> found(5);
    keys.compute(scores, bits, found);
    for (std::size_t i = 0; i < 5; ++i) {
        const double expected =
            scores[i] * 4.0 + keys.random.gumbel(static_cast<std::int64_t>(i)) - 1.5;
        CHECK(found[i] == Approx(expected).epsilon(1e-6));
    }
}

TEST_CASE("the scan of noisy keys finds exactly the rows that reach the threshold") {
    constexpr std::size_t kRows = 100003;
    // First ids: even, odd, and across the carry of the counter's low word.
    for (const std::int64_t first_id :
         {std::int64_t{0}, std::int64_t{17}, (std::int64_t{1} << 33) - 1000}) {
        for (const double beta : {0.02, 1.0, 100.0}) {
            const GumbelKeys noise{KeyedRandom(99, Stream::selection, 7), beta, 0.75};
            std::vector<float> scores(kRows);
            std::vector<std::uint64_t> bits(kRows);
            for (std::size_t i = 0; i < kRows; ++i) {
                const auto id = first_id + static_cast<std::int64_t>(i);
                scores[i] = static_cast<float>(noise.random.normal(id, 5));
                bits[i] = noise.random.bits(id);
            }
            std::vector<float> keys(kRows);
            noise.compute(scores, bits, keys);
            std::vector<float> sorted = keys;
            std::sort(sorted.begin(), sorted.end(), std::greater<>());
            for (const std::size_t wanted : {10UL, 1000UL, 30000UL, kRows - 1}) {
                std::vector<std::uint32_t> expected_keys, expected_offsets;
                for (std::size_t i = 0; i < kRows; ++i) {
                    if (keys[i] < sorted[wanted]) continue;
                    expected_keys.push_back(ordered_key(keys[i]));
                    expected_offsets.push_back(static_cast<std::uint32_t>(i));
                }
                Hits found;
                std::vector<std::uint32_t> not_finite;
                scan_gumbel_keys(scores, 0, first_id, noise, sorted[wanted], found, not_finite);
                CHECK(to_vector(found.offsets()) == expected_offsets);
                CHECK(to_vector(found.keys()) == expected_keys);
                CHECK(not_finite.empty());
            }
        }
    }
}

TEST_CASE("the scan of noisy keys misses none that are rounded up to the threshold") {
    const GumbelKeys noise{KeyedRandom(3, Stream::selection, 0), 1.0, 1.0e9};
    const std::vector<float> scores(5000, 0.0F);
    Hits found;
    std::vector<std::uint32_t> not_finite;
    scan_gumbel_keys(scores, 0, 0, noise, -1.0e9F, found, not_finite);
    CHECK(found.size() == scores.size());  // the noise is far below a key's last bit
}

TEST_CASE("rows without a finite score are found among noisy keys as well") {
    std::vector<float> scores(1000, 0.0F);
    scores[500] = std::numeric_limits<float>::quiet_NaN();
    scores[999] = -std::numeric_limits<float>::infinity();
    Hits found;
    std::vector<std::uint32_t> not_finite;
    const GumbelKeys keys{KeyedRandom(1, Stream::selection, 0), 1.0, 0.0};
    scan_gumbel_keys(scores, 0, 0, keys, 100.0F, found, not_finite);
    CHECK(found.size() == 0);
    CHECK(not_finite == std::vector<std::uint32_t>{500, 999});
}
