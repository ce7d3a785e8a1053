#include <cmath>
#include <limits>
#include <numeric>

#include "src/base/check.hpp"
#include "src/base/thread_team.hpp"
#include "src/random/philox.hpp"
#include "tests/selection/select_support.hpp"
#include "tests/support/catch.hpp"

using namespace thresher;
using namespace thresher::test;

namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

Pool random_pool(std::size_t rows, int distinct) {
    Pool pool;
    const KeyedRandom random(5, Stream::synthetic, 0);
    for (std::size_t i = 0; i < rows; ++i) {
        const auto row = static_cast<std::int64_t>(i);
        pool.scores.push_back(distinct > 0 ? static_cast<float>(random.integer(row, distinct))
                                           : static_cast<float>(random.normal(row)));
    }
    return pool;
}

}  // namespace

TEST_CASE("top-k over any number of ranks is the sorted prefix of the whole pool") {
    for (const std::size_t rows : {1UL, 2UL, 17UL, 1000UL, 70001UL}) {
        for (const int distinct : {0, 1, 3, 1000}) {
            const Pool pool = random_pool(rows, distinct);
            for (const std::size_t k : {std::size_t{1}, rows / 3, rows - 1, rows}) {
                if (k == 0) continue;
                const std::vector<std::int64_t> expected = by_definition(pool, k);
                for (const int ranks : {1, 2, 3, 4, 7}) {
                    CHECK(
                        select_over(ranks, pool, static_cast<std::int64_t>(k), {}).selection.ids ==
                        expected);
                }
            }
        }
    }
}

TEST_CASE("scores that are bunched, lie far out or span all floats come in order") {
    constexpr std::int64_t kRows = 70001;
    const KeyedRandom random(6, Stream::synthetic, 0);
    Pool bunched, wide;
    for (std::int64_t row = 0; row < kRows; ++row) {
        const double x = random.normal(row);
        bunched.scores.push_back(static_cast<float>(0.5 + 1e-6 * x));
        wide.scores.push_back(static_cast<float>(std::copysign(std::exp(18.0 * std::abs(x)), x)));
    }
    Pool outliers = bunched;
    outliers.scores[7] = std::numeric_limits<float>::max();
    outliers.scores[60000] = std::numeric_limits<float>::lowest();
    Pool repeated = wide;
    for (std::size_t i = 1; i < kRows; i += 2) repeated.scores[i] = repeated.scores[i / 2];
    for (Pool* pool : {&bunched, &wide, &outliers, &repeated}) {
        for (const bool own_ids : {false, true}) {
            for (std::int64_t row = 0; own_ids && row < kRows; ++row) {
                pool->ids.push_back(3 * kRows - 2 * row);
            }
            for (const std::int64_t k :
                 {std::int64_t{1}, std::int64_t{500}, std::int64_t{30000}, kRows}) {
                const auto expected = by_definition(*pool, static_cast<std::size_t>(k));
                for (const int ranks : {1, 3}) {
                    const Selection selection = select_over(ranks, *pool, k, {}).selection;
                    CHECK(selection.ids == expected);
                    CHECK(std::is_sorted(selection.scores.rbegin(), selection.scores.rend()));
                }
            }
        }
    }
}

TEST_CASE("several threads put a large batch in the order of one") {
    const Pool pool = random_pool(400000, 0);
    const int threads = threads_in_use();
    for (const char* name : {"top-k", "softmax"}) {
        use_threads(1);
        const Selection one = select_over(1, pool, 400000, {.name = name}).selection;
        use_threads(3);
        const Selection three = select_over(1, pool, 400000, {.name = name}).selection;
        use_threads(threads);
        CHECK(three.ids == one.ids);
        CHECK(three.scores == one.scores);
    }
}

TEST_CASE("ids in any order resolve ties, and the scores come with the ids") {
    Pool pool = random_pool(5000, 4);
    for (std::size_t i = 0; i < pool.scores.size(); ++i) {
        pool.ids.push_back(static_cast<std::int64_t>((i * 2654435761U) % 1000003U));
    }
    for (const int ranks : {1, 2, 3, 4, 7}) {
        const Selection selection = select_over(ranks, pool, 1700, {}).selection;
        CHECK(selection.ids == by_definition(pool, 1700));
        for (std::size_t i = 0; i < selection.ids.size(); ++i) {
            const auto row =
                std::find(pool.ids.begin(), pool.ids.end(), selection.ids[i]) - pool.ids.begin();
            REQUIRE(selection.scores[i] == pool.scores[static_cast<std::size_t>(row)]);
        }
    }
}

TEST_CASE("scores that are not finite are quarantined with their ids and never chosen") {
    Pool pool = random_pool(300, 0);
    pool.scores[7] = kNan;
    pool.scores[100] = kInfinity;
    pool.scores[299] = -kInfinity;
    for (const char* name : {"top-k", "softmax"}) {
        for (const int ranks : {1, 3, 7}) {
            const Outcome outcome = select_over(ranks, pool, 297, {.name = name});
            CHECK(outcome.selection.selectable == 297);
            REQUIRE(outcome.quarantined.size() == 3);
            CHECK(outcome.quarantined[0].id == 7);
            CHECK(outcome.quarantined[0].reason == "score is nan");
            CHECK(outcome.quarantined[1].id == 100);
            CHECK(outcome.quarantined[2].reason == "score is -inf");
            for (const std::int64_t id : {7, 100, 299}) {
                CHECK(std::count(outcome.selection.ids.begin(), outcome.selection.ids.end(), id) ==
                      0);
            }
            CHECK_THROWS_WITH(select_over(ranks, pool, 298, {.name = name}),
                              thresher::test::contains("only 297 of the 300 rows can be chosen"));
        }
    }
}

TEST_CASE("excluded rows are never chosen") {
    Pool pool = random_pool(1000, 0);
    pool.excluded.assign(1000, 0);
    for (std::size_t i = 0; i < 1000; i += 3) pool.excluded[i] = 1;
    for (const int ranks : {1, 2, 4}) {
        CHECK(select_over(ranks, pool, 400, {}).selection.ids == by_definition(pool, 400));
        const Selection sampled = select_over(ranks, pool, 666, {.name = "softmax"}).selection;
        for (const std::int64_t id : sampled.ids) CHECK(id % 3 != 0);
    }
}

TEST_CASE("what is added to all scores changes no sample, even where most rows are excluded") {
    Pool pool = random_pool(2000, 0);
    pool.excluded.assign(2000, 1);
    for (std::size_t i = 0; i < 2000; ++i) {
        pool.scores[i] = static_cast<float>(i % 4);
        if (i % 10 == 0) pool.excluded[i] = 0;
    }
    Pool raised = pool;
    for (float& score : raised.scores) score += 0x1p20F;
    for (const std::int64_t k : {20, 150, 200}) {
        CHECK(select_over(2, raised, k, {.name = "softmax"}).selection.ids ==
              select_over(2, pool, k, {.name = "softmax"}).selection.ids);
    }
}

TEST_CASE("-0 and +0 are equal, and the smallest id comes first") {
    CHECK(select_over(1, {{-0.0F, 0.0F, -0.0F}, {}, {}}, 2, {}).selection.ids ==
          std::vector<std::int64_t>{0, 1});
}

TEST_CASE("softmax chooses the largest perturbed scores, in any number of ranks") {
    const Pool pool = random_pool(70001, 0);
    const Selector selector{.name = "softmax", .beta = 2.0, .seed = 12, .round = 3};
    // The definition, in double: beta s - log(-log u).
    const KeyedRandom random(12, Stream::selection, 3);
    std::vector<std::pair<double, std::int64_t>> keys;
    for (std::size_t i = 0; i < pool.scores.size(); ++i) {
        const auto id = static_cast<std::int64_t>(i);
        keys.emplace_back(-(2.0 * pool.scores[i] + random.gumbel(id)), id);
    }
    std::sort(keys.begin(), keys.end());
    for (const std::size_t k : {10UL, 500UL, 40000UL, 70001UL}) {
        std::vector<std::int64_t> expected;
        for (std::size_t i = 0; i < k; ++i) expected.push_back(keys[i].second);
        std::sort(expected.begin(), expected.end());
        std::vector<std::int64_t> first;
        for (const int ranks : {1, 2, 3, 4, 7}) {
            Selection selection =
                select_over(ranks, pool, static_cast<std::int64_t>(k), selector).selection;
            std::vector<std::int64_t>& ids = selection.ids;
            if (first.empty()) first = ids;
            CHECK(ids == first);
            double last = std::numeric_limits<double>::infinity();
            for (std::size_t i = 0; i < ids.size(); ++i) {  // in pick order, keys being floats
                const float score = pool.scores[static_cast<std::size_t>(ids[i])];
                REQUIRE(selection.scores[i] == score);
                const double key = 2.0 * score + random.gumbel(ids[i]);
                REQUIRE(key < last + 1e-5);
                last = key;
            }
            std::sort(ids.begin(), ids.end());
            CHECK(ids == expected);
        }
    }
}

TEST_CASE("explicit ids equal to rows give the same sample as rows") {
    Pool pool = random_pool(3000, 0);
    const Selector selector{.name = "softmax", .seed = 4};
    const auto implicit_ids = select_over(3, pool, 500, selector).selection.ids;
    pool.ids.resize(3000);
    std::iota(pool.ids.begin(), pool.ids.end(), 0);
    CHECK(select_over(2, pool, 500, selector).selection.ids == implicit_ids);
}

TEST_CASE("large scores do not drown the noise") {
    // Adding a constant to all scores must not change the law; with keys of 24 bits and no centre,
    // a score of 10^6 would round the noise to sixteenths.
    constexpr int kRounds = 4000;
    int chosen = 0;
    for (std::uint32_t round = 0; round < kRounds; ++round) {
        const Selector selector{.name = "softmax", .beta = 1e6, .seed = 1, .round = round};
        const auto ids =
            select_over(1, {{1.0F, 1.0F + 0x1p-20F}, {}, {}}, 1, selector).selection.ids;
        chosen += ids[0] == 1 ? 1 : 0;
    }
    const double p = 1.0 / (1.0 + std::exp(-0x1p-20 * 1e6));
    CHECK(std::abs(chosen / double{kRounds} - p) <= 5.0 * std::sqrt(p * (1 - p) / kRounds));
}

TEST_CASE("a sample of 2 from weights 1, 2, 3, 4 has the exact inclusion probabilities") {
    // P(i in sample) = w_i / 10 + sum over j of (w_j / 10) (w_i / (10 - w_j)), by hand.
    std::array<double, 4> inclusion{};
    for (int i = 0; i < 4; ++i) {
        double p = (i + 1) / 10.0;
        for (int j = 0; j < 4; ++j) {
            if (j != i) p += (j + 1) / 10.0 * (i + 1) / (10.0 - (j + 1));
        }
        inclusion[static_cast<std::size_t>(i)] = p;
    }
    const Pool pool{{0.0F, std::log(2.0F), std::log(3.0F), std::log(4.0F)}, {}, {}};
    constexpr int kRounds = 20000;
    std::array<int, 4> count{};
    for (std::uint32_t round = 0; round < kRounds; ++round) {
        for (const std::int64_t id :
             select_over(1, pool, 2, {.name = "softmax", .round = round}).selection.ids) {
            ++count[static_cast<std::size_t>(id)];
        }
    }
    for (std::size_t i = 0; i < 4; ++i) {
        const double p = inclusion[i];
        CHECK(std::abs(count[i] / double{kRounds} - p) <= 5.0 * std::sqrt(p * (1 - p) / kRounds));
    }
}

TEST_CASE("without beta every row has the same chance, one with a score of 0 too") {
    const Pool pool{{0.0F, 0.0F, 1.0F, 5.0F}, {}, {}};
    const Selector selector{.name = "power", .beta = 0.0, .seed = 3, .inclusion = true};
    const Selection selection = select_over(2, pool, 3, selector).selection;
    REQUIRE(selection.inclusion.size() == 3);
    for (const double p : selection.inclusion) {
        CHECK(p > 0.0);
        CHECK(p < 1.0);
        CHECK(p == selection.inclusion[0]);
    }
}

TEST_CASE("collectives and bytes of a selection do not depend on the size of the pool") {
    Traffic first;
    for (const std::size_t rows : {1000UL, 100000UL, 1000000UL}) {
        const Traffic traffic = select_over(2, random_pool(rows, 0), 100, {}).traffic;
        if (rows == 1000) first = traffic;
        CHECK(traffic.collectives == first.collectives);
        CHECK(traffic.bytes == first.bytes);
    }
    CHECK(first.collectives == 11);
}

namespace {

/// Adds `amount` to the scores of the first `count` rows that the estimate of the threshold will
/// look at (select.cpp: one row from each of 2^15 strata), so that it expects far more rows as good
/// as those than there are.
void mislead(Pool& pool, std::int64_t count, float amount) {
    constexpr std::int64_t kStrata = 32768;
    const std::int64_t rows = std::ssize(pool.scores);
    const KeyedRandom random(0, Stream::threshold_sample, 0);
    for (std::int64_t stratum = 0; stratum < count; ++stratum) {
        const std::int64_t begin = rows * stratum / kStrata;
        const std::int64_t width = rows * (stratum + 1) / kStrata - begin;
        const std::uint32_t word = philox_block(
            random.counter(stratum / 4 * 2), random.key())[static_cast<std::size_t>(stratum % 4)];
        pool.scores[static_cast<std::size_t>(begin + (word * width >> 32))] += amount;
    }
}

}  // namespace

TEST_CASE("a threshold misled by its sample costs further scans, not the result") {
    constexpr std::size_t kRows = 200000;
    // Another threshold (4) and a count for a lower one; another count where that fails as well.
    for (const auto& [misleading, further] : {std::pair{200, 5}, std::pair{2000, 6}}) {
        Pool pool = random_pool(kRows, 0);
        mislead(pool, misleading, 100.0F);
        for (const int ranks : {1, 3}) {
            const Outcome outcome = select_over(ranks, pool, 5000, {});
            CHECK(outcome.selection.ids == by_definition(pool, 5000));
            const Outcome usual = select_over(ranks, random_pool(kRows, 0), 5000, {});
            CHECK(outcome.traffic.collectives == usual.traffic.collectives + further);
        }
    }
}

TEST_CASE("a sample misled by a few large scores does not drown the noise of the others") {
    Pool pool;
    pool.scores.assign(200000, 0.0F);
    mislead(pool, 1000, 1.0e9F);
    Pool with_ids = pool;
    for (std::int64_t row = 0; row < std::ssize(pool.scores); ++row) with_ids.ids.push_back(row);
    const Selector selector{.name = "softmax", .seed = 4, .inclusion = true};
    const KeyedRandom random(4, Stream::selection, 0);
    std::vector<std::pair<double, std::int64_t>> others;  // the noise alone decides among them
    for (std::int64_t row = 0; row < std::ssize(pool.scores); ++row) {
        if (pool.scores[static_cast<std::size_t>(row)] == 0.0F) {
            others.emplace_back(-random.gumbel(row), row);
        }
    }
    std::sort(others.begin(), others.end());
    const Selection one = select_over(1, pool, 5000, selector).selection;
    REQUIRE(one.ids.size() == 5000);
    CHECK(one.inclusion.front() == 1.0);
    CHECK(one.inclusion.back() < 1.0);
    CHECK(one.inclusion.back() > 0.0);
    for (std::size_t i = 0; i < 4000; ++i) REQUIRE(one.ids[1000 + i] == others[i].second);
    for (const int ranks : {1, 3}) {
        for (const Pool* same : {&pool, &with_ids}) {
            const Selection selection = select_over(ranks, *same, 5000, selector).selection;
            CHECK(selection.ids == one.ids);
            CHECK(selection.inclusion == one.inclusion);
        }
    }
}

TEST_CASE("requests that cannot be met are refused, with the reason") {
    const Pool pool = random_pool(5, 0);
    using thresher::test::contains;
    CHECK_THROWS_WITH(select_over(2, pool, 6, {}), contains("k is 6, but the pool has 5 rows"));
    CHECK_THROWS_AS(select_over(2, pool, 0, {}), UsageError);
    CHECK_THROWS_WITH(
        select_over(2, pool, 1, {.name = "best"}),
        contains("unknown selector \"best\"; known: top-k, softmax, power, softrank"));
    CHECK_THROWS_WITH(select_over(2, pool, 1, {.name = "softmax", .beta = -1.0}),
                      contains("beta (1 / temperature) is -1"));
    CHECK_THROWS_WITH(select_over(2, pool, 1, {.name = "softmax", .beta = 1e31}),
                      contains("allowed are 0 to 1e+30"));
    CHECK_THROWS_WITH(
        select_over(2, {{1e20F, 2e20F}, {}, {}}, 1, {.name = "softmax", .beta = 1e30}),
        contains("too large for scores of this size"));
    CHECK_THROWS_WITH(select_over(2, pool, 1, {.inclusion = true}),
                      contains("top-k picks the same rows always"));
    CHECK_THROWS_WITH(select_over(2, Pool{}, 1, {}), contains("the pool has 0 rows"));
    for (const char* name : {"top-k", "softmax", "power", "softrank"}) {
        CHECK_THROWS_WITH(select_over(2, Pool{{1, 2, 3}, {4, 1, 4}, {}}, 1, {.name = name}),
                          contains("the id 4 occurs more than once"));
    }
}
