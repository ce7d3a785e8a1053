#include "src/selection/scan.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "src/selection/ordered_key.hpp"
#include "tests/support/catch.hpp"

using namespace thresher;

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
    for (std::size_t count : {0UL, 1UL, 7UL, 31UL, 64UL, 100UL, 1000UL}) {
        std::vector<float> scores;
        for (std::size_t i = 0; i < count; ++i) {
            scores.push_back(static_cast<float>(random.normal(static_cast<std::int64_t>(i))));
        }
        if (count > 5) {
            scores[3] = std::numeric_limits<float>::quiet_NaN();
            scores[count - 2] = std::numeric_limits<float>::infinity();
        }
        for (const float threshold : {-std::numeric_limits<float>::infinity(), 0.0F, 1.5F}) {
            ScanHits hits;
            scan_scores(scores, 10, threshold, hits);
            std::vector<std::uint32_t> candidates, not_finite;
            for (std::uint32_t i = 0; i < count; ++i) {
                if (!std::isfinite(scores[i])) {
                    not_finite.push_back(10 + i);
                } else if (scores[i] >= threshold) {
                    candidates.push_back(10 + i);
                }
            }
            CHECK(hits.candidates == candidates);
            CHECK(hits.not_finite == not_finite);
        }
    }
}

TEST_CASE("the scan of noisy keys misses no row that reaches the threshold, and few others pass") {
    constexpr std::size_t kRows = 100003;
    // First ids: even, odd, and across the carry of the counter's low word.
    for (const std::int64_t first_id :
         {std::int64_t{0}, std::int64_t{17}, (std::int64_t{1} << 33) - 1000}) {
        for (const double temperature : {0.01, 1.0, 50.0}) {
            const KeyedRandom random(99, Stream::selection, 7);
            std::vector<float> scores(kRows);
            std::vector<double> keys(kRows);
            for (std::size_t i = 0; i < kRows; ++i) {
                const auto id = first_id + static_cast<std::int64_t>(i);
                scores[i] = static_cast<float>(random.normal(id, 5));
                keys[i] = scores[i] / temperature + random.gumbel(id);
            }
            std::vector<double> sorted = keys;
            std::sort(sorted.begin(), sorted.end(), std::greater<>());
            for (const std::size_t wanted : {10UL, 1000UL, 30000UL, kRows - 1}) {
                const double threshold = sorted[wanted];
                ScanHits hits;
                scan_gumbel_keys(scores, 0, first_id, random, temperature, threshold, hits);
                REQUIRE(std::is_sorted(hits.candidates.begin(), hits.candidates.end()));
                std::vector<bool> hit(kRows, false);
                for (const std::uint32_t offset : hits.candidates) hit[offset] = true;
                std::size_t missed = 0;
                for (std::size_t i = 0; i < kRows; ++i)
                    missed += keys[i] >= threshold && !hit[i] ? 1 : 0;
                CHECK(missed == 0);
                CHECK(static_cast<double>(hits.candidates.size()) <=
                      1.25 * static_cast<double>(wanted) + 100);
            }
        }
    }
}

TEST_CASE("rows without a finite score are found among noisy keys as well") {
    std::vector<float> scores(1000, 0.0F);
    scores[500] = std::numeric_limits<float>::quiet_NaN();
    scores[999] = -std::numeric_limits<float>::infinity();
    ScanHits hits;
    scan_gumbel_keys(scores, 0, 0, KeyedRandom(1, Stream::selection, 0), 1.0, 100.0, hits);
    CHECK(hits.not_finite == std::vector<std::uint32_t>{500, 999});
}
