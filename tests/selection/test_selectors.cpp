// The selectors that draw by other laws than softmax, and the probabilities of what was drawn.

#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

#include "src/random/philox.hpp"
#include "tests/selection/select_support.hpp"
#include "tests/support/catch.hpp"

using namespace thresher;
using namespace thresher::test;

namespace {

/// The share of rounds in which each row is among the k picks.
std::vector<double> inclusion_of(const Pool& pool, std::int64_t k, Selector selector, int rounds) {
    std::vector<double> share(pool.scores.size(), 0.0);
    for (int round = 0; round < rounds; ++round) {
        selector.round = static_cast<std::uint32_t>(round);
        for (const std::int64_t id : select_over(1, pool, k, selector).selection.ids) {
            share[static_cast<std::size_t>(id)] += 1.0 / rounds;
        }
    }
    return share;
}

void check_shares(const std::vector<double>& shares, const std::vector<double>& law, int rounds) {
    for (std::size_t i = 0; i < law.size(); ++i) {
        INFO("row " << i);
        CHECK(std::abs(shares[i] - law[i]) <=
              5.0 * std::sqrt(law[i] * (1 - law[i]) / rounds) + 1e-12);
    }
}

}  // namespace

TEST_CASE("power draws in proportion to score^beta, and never what scores 0") {
    constexpr int kRounds = 10000;
    const Pool pool{{1.0F, 0.0F, 2.0F, 5.0F}, {}, {}};
    check_shares(inclusion_of(pool, 1, {.name = "power", .beta = 1.0}, kRounds),
                 {1.0 / 8, 0.0, 2.0 / 8, 5.0 / 8}, kRounds);
    check_shares(inclusion_of(pool, 1, {.name = "power", .beta = 2.0}, kRounds),
                 {1.0 / 30, 0.0, 4.0 / 30, 25.0 / 30}, kRounds);
    check_shares(inclusion_of(pool, 1, {.name = "power", .beta = 0.0}, kRounds),
                 {0.25, 0.25, 0.25, 0.25}, kRounds);
    CHECK(select_over(2, pool, 3, {.name = "power"}).selection.scores.size() == 3);
    CHECK_THROWS_WITH(select_over(2, pool, 4, {.name = "power"}),
                      contains("only 3 of the 4 rows can be chosen"));
    CHECK_THROWS_WITH(select_over(3, {{1.0F, 2.0F, -0.5F}, {}, {}}, 1, {.name = "power"}),
                      contains("some scores are below 0"));
}

TEST_CASE("power keeps the scores of its picks, and quarantines what is not finite") {
    Pool pool;
    for (int i = 0; i < 500; ++i) pool.scores.push_back(static_cast<float>(i % 37));
    pool.scores[100] = std::numeric_limits<float>::quiet_NaN();
    std::vector<std::int64_t> first;
    for (const int ranks : {1, 2, 3, 4, 7}) {
        const Outcome outcome = select_over(ranks, pool, 60, {.name = "power", .beta = 3.0});
        if (first.empty()) first = outcome.selection.ids;
        CHECK(outcome.selection.ids == first);
        for (std::size_t i = 0; i < first.size(); ++i) {
            CHECK(outcome.selection.scores[i] == static_cast<float>(first[i] % 37));
        }
        REQUIRE(outcome.quarantined.size() == 1);
        CHECK(outcome.quarantined[0].reason == "score is nan");
    }
}

TEST_CASE("softrank draws ranks by their law, and finds the rows that hold them") {
    const KeyedRandom values(5, Stream::synthetic, 0);
    for (const int distinct : {1, 10, 100000}) {
        Pool pool;
        for (std::int64_t row = 0; row < 20000; ++row) {
            pool.scores.push_back(static_cast<float>(values.integer(row, distinct)) - 3.0F);
            pool.ids.push_back((row * 7919) % 20011);
            pool.excluded.push_back(row % 9 == 0 ? 1 : 0);
        }
        pool.scores[11] = std::numeric_limits<float>::quiet_NaN();
        const std::int64_t selectable = 20000 - 2223 - 1;
        // The definition, in double: the places with the largest - beta log rank - log(-log u).
        const KeyedRandom random(3, Stream::selection, 8);
        std::vector<std::pair<double, std::size_t>> keys;
        for (std::int64_t place = 0; place < selectable; ++place) {
            keys.emplace_back(0.7 * std::log(static_cast<double>(place + 1)) - random.gumbel(place),
                              place);
        }
        std::sort(keys.begin(), keys.end());
        const std::vector<std::int64_t> order =
            by_definition(pool, static_cast<std::size_t>(selectable));
        for (const std::size_t k : {1UL, 300UL, static_cast<std::size_t>(selectable)}) {
            std::vector<std::int64_t> expected;
            for (std::size_t i = 0; i < k; ++i) expected.push_back(order[keys[i].second]);
            std::sort(expected.begin(), expected.end());
            std::vector<std::int64_t> first;  // keys are floats: near ties may change places
            for (const int ranks : {1, 2, 3, 4, 7}) {
                INFO(distinct << " distinct scores, k " << k << ", ranks " << ranks);
                const Outcome outcome =
                    select_over(ranks, pool, static_cast<std::int64_t>(k),
                                {.name = "softrank", .beta = 0.7, .seed = 3, .round = 8});
                CHECK(outcome.selection.selectable == selectable);
                CHECK(outcome.quarantined.size() == 1);
                std::vector<std::int64_t> ids = outcome.selection.ids;
                if (first.empty()) first = ids;
                REQUIRE(ids == first);
                std::sort(ids.begin(), ids.end());
                REQUIRE(ids == expected);
            }
        }
        CHECK_THROWS_WITH(select_over(2, pool, selectable + 1, {.name = "softrank"}),
                          contains("only 17776 rows can be chosen"));
    }
}

TEST_CASE("inclusion probabilities make the mean of anything an unbiased estimate") {
    const Pool pool{{1.0F, 2.0F, 3.0F, 4.0F, 0.5F}, {}, {}};
    const std::vector<double> values{10.0, -3.0, 2.0, 5.0, 40.0};
    const double mean = 54.0 / 5;
    constexpr int kRounds = 20000;
    for (const char* name : {"softmax", "power", "softrank"}) {
        double sum = 0.0, squares = 0.0;
        for (std::uint32_t round = 0; round < kRounds; ++round) {
            const Selector selector{.name = name, .round = round, .inclusion = true};
            const Selection selection = select_over(1, pool, 3, selector).selection;
            REQUIRE(selection.inclusion.size() == 3);
            double estimate = 0.0;
            for (std::size_t i = 0; i < 3; ++i) {
                estimate +=
                    values[static_cast<std::size_t>(selection.ids[i])] / selection.inclusion[i] / 5;
            }
            sum += estimate;
            squares += estimate * estimate;
        }
        const double variance = squares / kRounds - (sum / kRounds) * (sum / kRounds);
        INFO(name);
        CHECK(std::abs(sum / kRounds - mean) <= 5.0 * std::sqrt(variance / kRounds));
    }
}

TEST_CASE("inclusion probabilities are 1 where all rows are picked, and alike for any ranks") {
    Pool pool;
    for (int i = 0; i < 3000; ++i) pool.scores.push_back(static_cast<float>(i % 11));
    for (const char* name : {"softmax", "power", "softrank"}) {
        const Selector selector{.name = name, .inclusion = true};
        const std::vector<double> alone = select_over(1, pool, 200, selector).selection.inclusion;
        for (const int ranks : {2, 3, 7}) {
            CHECK(select_over(ranks, pool, 200, selector).selection.inclusion == alone);
        }
        CHECK(std::accumulate(alone.begin(), alone.end(), 0.0) < 200.0);
    }
    for (const double p :
         select_over(2, pool, 3000, {.name = "softmax", .inclusion = true}).selection.inclusion) {
        CHECK(p == 1.0);
    }
}
