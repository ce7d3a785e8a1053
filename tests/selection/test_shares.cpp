// Batches with a share for each class, and batches within a budget.

#include <cmath>
#include <limits>
#include <numeric>

#include "src/base/thread_collective.hpp"
#include "src/random/philox.hpp"
#include "src/selection/balanced.hpp"
#include "src/selection/budget.hpp"
#include "tests/selection/select_support.hpp"
#include "tests/support/catch.hpp"

using namespace thresher;
using namespace thresher::test;

namespace {

/// Runs body(collective, rows, first, end) with each simulated rank's part of the pool.
template <class Body>
void over_ranks(int ranks, const Pool& pool, Body body) {
    run_simulated_ranks(ranks, [&](Collective& collective) {
        const std::size_t begin = shard_begin(pool.scores.size(), collective.rank(), ranks);
        const std::size_t end = shard_begin(pool.scores.size(), collective.rank() + 1, ranks);
        const auto part = [&](const auto& values) {
            return std::span(values).subspan(values.empty() ? 0 : begin,
                                             values.empty() ? 0 : end - begin);
        };
        body(collective,
             ScoredRows{part(pool.scores), static_cast<std::int64_t>(begin), part(pool.ids),
                        part(pool.excluded)},
             begin, end);
    });
}

Pool scattered_pool(std::int64_t rows, bool ids) {
    Pool pool;
    const KeyedRandom random(11, Stream::synthetic, 0);
    for (std::int64_t row = 0; row < rows; ++row) {
        pool.scores.push_back(static_cast<float>(random.integer(row, 200)) / 16.0F);
        if (ids) pool.ids.push_back((row * 7919) % 100003);
        pool.excluded.push_back(row % 13 == 5 ? 1 : 0);
    }
    pool.scores[3] = std::numeric_limits<float>::quiet_NaN();
    return pool;
}

/// The greedy rule as it is written down: row by row in order of score per cost.
std::vector<std::int64_t> buy_by_definition(const Pool& pool, const std::vector<float>& costs,
                                            double budget) {
    const auto id = [&](std::size_t i) {
        return pool.ids.empty() ? static_cast<std::int64_t>(i) : pool.ids[i];
    };
    std::vector<std::size_t> order;
    for (std::size_t i = 0; i < costs.size(); ++i) {
        if (pool.excluded[i] == 0 && std::isfinite(pool.scores[i]) && costs[i] > 0)
            order.push_back(i);
    }
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
        const float left = pool.scores[a] / costs[a], right = pool.scores[b] / costs[b];
        return left != right ? left > right : id(a) < id(b);
    });
    std::vector<std::int64_t> ids;
    for (const std::size_t i : order) {
        if (costs[i] > budget) continue;
        budget -= costs[i];
        ids.push_back(id(i));
    }
    return ids;
}

}  // namespace

TEST_CASE("quotas are even, and what a small class cannot give goes to the others") {
    using Counts = std::vector<std::int64_t>;
    CHECK(class_quotas(Counts{10, 10, 10}, 9) == Counts{3, 3, 3});
    CHECK(class_quotas(Counts{10, 10, 10}, 8) == Counts{3, 3, 2});
    CHECK(class_quotas(Counts{1, 10, 0, 10}, 12) == Counts{1, 6, 0, 5});
    CHECK(class_quotas(Counts{2, 3}, 5) == Counts{2, 3});
    CHECK(class_quotas(Counts{5, 5}, 1) == Counts{1, 0});
    CHECK_THROWS_WITH(class_quotas(Counts{2, 3}, 6), contains("only 5 rows"));
}

TEST_CASE("a balanced batch has the best rows of each class, whatever the ranks") {
    const Pool pool = scattered_pool(3000, true);
    std::vector<std::int32_t> classes(3000);
    for (std::size_t i = 0; i < classes.size(); ++i) {
        classes[i] = i % 10 == 0 ? -1 : static_cast<std::int32_t>(i % 7 == 0 ? 2 : i % 2);
    }
    std::vector<std::vector<std::int64_t>> best;  // of each class, by definition
    for (std::int32_t c = 0; c < 3; ++c) {
        Pool of_class = pool;
        for (std::size_t i = 0; i < classes.size(); ++i) {
            if (classes[i] != c) of_class.excluded[i] = 1;
        }
        best.push_back(by_definition(of_class, 20));
    }
    std::vector<std::int64_t> expected;
    for (std::size_t place = 0; place < 20; ++place) {
        for (const auto& ids : best) expected.push_back(ids[place]);
    }
    for (const int ranks : {1, 2, 3, 4, 7}) {
        over_ranks(ranks, pool,
                   [&](Collective& collective, const ScoredRows& rows, std::size_t begin,
                       std::size_t end) {
                       const Selection batch = select_balanced(
                           collective, rows, std::span(classes).subspan(begin, end - begin), 3, 60,
                           {});
                       if (collective.is_root() && batch.ids != expected)
                           throw Error("another batch");
                   });
    }
}

TEST_CASE("a budgeted batch is what the greedy rule buys, whatever the ranks") {
    const KeyedRandom random(12, Stream::synthetic, 0);
    for (const bool ids : {false, true}) {
        const Pool pool = scattered_pool(2500, ids);
        std::vector<float> costs(2500);
        for (std::size_t i = 0; i < costs.size(); ++i) {
            // Sixteenths: sums are exact in double as well.
            costs[i] =
                static_cast<float>(1 + random.integer(static_cast<std::int64_t>(i), 60)) / 16;
        }
        costs[77] = 0.0F;
        for (const double budget : {0.25, 3.0, 100.0, 1e6}) {
            const std::vector<std::int64_t> expected = buy_by_definition(pool, costs, budget);
            for (const int ranks : {1, 2, 3, 4, 7}) {
                over_ranks(ranks, pool,
                           [&](Collective& collective, const ScoredRows& rows, std::size_t begin,
                               std::size_t end) {
                               const BudgetedSelection batch = select_within_budget(
                                   collective, rows, std::span(costs).subspan(begin, end - begin),
                                   budget);
                               if (!collective.is_root()) return;
                               if (batch.selection.ids != expected) throw Error("another batch");
                               if (batch.spent > budget) throw Error("overspent");
                           });
            }
        }
    }
}

TEST_CASE("costs that are no costs are quarantined, and budgets that buy nothing refused") {
    const auto alone = make_local_collective();
    const std::vector<float> scores{1.0F, 2.0F, 3.0F, -1.0F};
    const std::vector<float> costs{1.0F, -2.0F, std::numeric_limits<float>::quiet_NaN(), 1.0F};
    const BudgetedSelection batch = select_within_budget(*alone, {scores, 0, {}, {}}, costs, 5.0);
    CHECK(batch.selection.ids == std::vector<std::int64_t>{0});
    REQUIRE(batch.selection.quarantined.size() == 2);
    CHECK(batch.selection.quarantined[0].reason == "cost is -2");
    CHECK_THROWS_WITH(select_within_budget(*alone, {scores, 0, {}, {}}, costs, 0.5),
                      contains("no row can be bought for the budget of 0.5"));
    CHECK_THROWS_AS(select_within_budget(*alone, {scores, 0, {}, {}}, costs, 0.0), UsageError);
}
