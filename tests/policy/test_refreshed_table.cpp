#include <cmath>
#include <mutex>
#include <set>

#include "src/base/thread_collective.hpp"
#include "src/policy/refreshed_table.hpp"
#include "src/policy/shared_metric.hpp"
#include "src/policy/table_search.hpp"
#include "tests/policy/policy_support.hpp"
#include "tests/support/catch.hpp"

using namespace thresher;
using namespace thresher::test;

namespace {

constexpr std::int64_t kRows = 20, kPicks = 4;

/// Adds up a worth of each candidate, 0 to 1 in steps of 1 / 20; counts what was retrained.
class Additive final : public Metric {
  public:
    std::string_view name() const override { return "accuracy"; }
    void evaluate(std::span<const std::int32_t> subsets, std::int64_t size,
                  std::span<double> values) override {
        for (std::size_t i = 0; i < values.size(); ++i) {
            values[i] = 0.0;
            for (const std::int32_t pick : subsets.subspan(i * index(size), index(size))) {
                values[i] += pick / 20.0;
            }
        }
        retrained += std::ssize(values);
    }
    std::int64_t retrained = 0;
};

Items some_items() {
    const std::vector<float> features = normals(kRows * 2, 1), labelled = normals(3 * 2, 2);
    const std::vector<float> log_probs(index(kRows * 2), std::log(0.5F));
    return make_items({2, 2, features, labelled, log_probs});
}

TableOptions options(const std::string& estimator = "ridge") {
    TableOptions table;
    table.estimator = estimator;
    table.records = 60;
    table.refreshed = 8;
    table.least = table.most = kPicks;
    table.seed = 5;
    return table;
}

/// How many subsets differ from all others.
std::int64_t different(const PackedSubsets& subsets) {
    std::set<std::vector<std::int32_t>> seen;
    for (std::int64_t i = 0; i < subsets.size(); ++i) seen.insert(subsets.members(i));
    return std::ssize(seen);
}

const std::vector<std::int32_t> kBest{19, 18, 17, 16}, kWorst{0, 1, 2, 3};

}  // namespace

TEST_CASE("a table answers for subsets that it has no record of, and NaN for other sizes") {
    Additive truth;
    const auto alone = make_local_collective();
    RefreshedTable table(some_items(), truth, options(), *alone);
    CHECK(truth.retrained == 60);
    std::vector<double> value(1);
    table.evaluate(kBest, kPicks, value);
    CHECK(value[0] == Approx(3.5).epsilon(0.05));  // 19 + 18 + 17 + 16 of 20
    table.evaluate(kWorst, kPicks, value);
    CHECK(value[0] == Approx(0.3).margin(0.2));
    table.evaluate(std::vector<std::int32_t>{1, 2}, 2, value);
    CHECK(std::isnan(value[0]));
}

TEST_CASE("a table begins with different subsets, at most all that there are") {
    Additive truth;
    const auto alone = make_local_collective();
    TableOptions pairs = options();
    pairs.least = pairs.most = 2;
    pairs.records = 150;  // of 190: a third of so many draws would be twins
    const RefreshedTable most(some_items(), truth, pairs, *alone);
    CHECK(most.size() == 150);
    CHECK(different(most.subsets()) == 150);
    pairs.records = 2000;
    const RefreshedTable all(some_items(), truth, pairs, *alone);
    CHECK(all.size() == 190);
    CHECK(different(all.subsets()) == 190);
    CHECK(truth.retrained == 150 + 190);
    // Of one size there may be fewer than of the others: 20, and 190.
    pairs.least = 1;
    pairs.records = 60;
    const RefreshedTable sizes(some_items(), truth, pairs, *alone);
    CHECK(sizes.size() == 20 + 30);
}

TEST_CASE("a refresh retrains new proposals, fills up with random subsets, and tells the error") {
    Additive truth;
    const auto alone = make_local_collective();
    RefreshedTable table(some_items(), truth, options("knn"), *alone);
    std::vector<double> before(1), after(1);
    table.evaluate(kBest, kPicks, before);
    std::vector<std::int32_t> batches;
    for (int i = 0; i < 32; ++i) batches.insert(batches.end(), kBest.begin(), kBest.end());
    const RefreshReport report = table.refresh(batches, kPicks);
    CHECK(truth.retrained == 68);
    CHECK(report.predicted == Approx(before[0]));
    CHECK(report.retrained == Approx(3.5));
    CHECK(report.error == Approx(std::abs(before[0] - 3.5)));
    // 32 times the same proposal is one record.
    CHECK(table.size() == 68);
    CHECK(table.subsets().members(60) == std::vector<std::int32_t>{16, 17, 18, 19});
    CHECK(different(table.subsets()) == 68);
    table.evaluate(kBest, kPicks, after);
    CHECK(after[0] == Approx(3.5));  // an exact hit
    CHECK(table.best() == std::vector<std::int32_t>{16, 17, 18, 19});
}

TEST_CASE("a refresh goes down the proposals to those without a record, three quarters at most") {
    Additive truth;
    const auto alone = make_local_collective();
    RefreshedTable table(some_items(), truth, options(), *alone);
    table.refresh(kBest, kPicks);
    const std::int64_t before = table.size();
    std::vector<std::int32_t> batches;
    for (int i = 0; i < 20; ++i) batches.insert(batches.end(), kBest.begin(), kBest.end());
    for (std::int32_t i = 0; i < 10; ++i) batches.insert(batches.end(), {i, i + 1, i + 2, i + 10});
    table.refresh(batches, kPicks);
    CHECK(table.size() == before + 8);
    CHECK(table.subsets().members(before) == std::vector<std::int32_t>{0, 1, 2, 10});
    CHECK(table.subsets().members(before + 5) == std::vector<std::int32_t>{5, 6, 7, 15});
    CHECK(table.subsets().members(before + 6) != std::vector<std::int32_t>{6, 7, 8, 16});
    CHECK(different(table.subsets()) == table.size());
}

TEST_CASE("a refresh without a new proposal has nothing to compare, and none at all ends") {
    Additive truth;
    const auto alone = make_local_collective();
    RefreshedTable table(some_items(), truth, options(), *alone);
    table.refresh(kBest, kPicks);
    const RefreshReport report = table.refresh(kBest, kPicks);
    CHECK(std::isnan(report.predicted));
    CHECK(std::isnan(report.retrained));
    CHECK(std::isnan(report.error));
    CHECK(report.spread > 0.0);  // of the random ones

    TableOptions every = options();
    every.least = every.most = 1;
    every.records = 19;
    RefreshedTable small(some_items(), truth, every, *alone);
    for (int i = 0; i < 10; ++i) small.refresh(std::vector<std::int32_t>{3}, 1);
    const std::int64_t all = small.size();
    CHECK(std::isnan(small.refresh(std::vector<std::int32_t>{3}, 1).spread));
    CHECK(small.size() == all);
}

TEST_CASE("retrained proposals are told from retrained random subsets") {
    Additive truth;
    const auto alone = make_local_collective();
    RefreshedTable table(some_items(), truth, options("knn"), *alone);
    // Four of 0, 1 / 20, ... 19 / 20 without replacement: four times their mean, and four times
    // their variance, 399 / 12 / 400, less the share (20 - 4) / (20 - 1) of a finite set.
    const double deviation = std::sqrt(4.0 * 399.0 / 12.0 / 400.0 * 16.0 / 19.0);
    std::vector<std::int32_t> batches;  // all 70 of the best eight, 3.1 on average
    for_each_subset(8, kPicks, [&](const std::vector<std::int32_t>& subset) {
        for (const std::int32_t i : subset) batches.push_back(12 + i);
    });
    for (int refresh = 0; refresh < 40; ++refresh) {
        const RefreshReport report = table.refresh(batches, kPicks);
        CHECK(report.random.mean == table.random_spread(kPicks).mean);
    }
    // With the proposals, a fifth of the records, the mean would be 2.1.
    CHECK(table.size() == 60 + 40 * 8);
    CHECK(table.random_spread(kPicks).mean == Approx(1.9).margin(0.1));
    CHECK(table.random_spread(kPicks).deviation == Approx(deviation).epsilon(0.15));
    CHECK(table.random_spread(kPicks + 1).deviation == 0.0);
    const std::int64_t retrained = truth.retrained;
    const RefreshedTable resumed(some_items(), truth, options("knn"), *alone, table.export_state());
    CHECK(truth.retrained == retrained);
    CHECK(resumed.random_spread(kPicks).mean == table.random_spread(kPicks).mean);
}

TEST_CASE("a table begins with the records of another, the mean over their trainings") {
    Additive truth;
    const auto alone = make_local_collective();
    LookupTable built(kRows);
    built.repeats = 2;
    std::vector<double>& metric = built.metrics["accuracy"];
    for (const auto& [subset, value] : {std::pair{kBest, 3.5}, {kWorst, 0.3}}) {
        built.subsets.add(subset);
        metric.insert(metric.end(), {value - 0.1, value + 0.1});
    }
    built.subsets.add(std::vector<std::int32_t>{4, 5, 6, 7});
    metric.insert(metric.end(), {std::nan(""), 1.0});  // quarantined
    built.subsets.add(kBest);                          // once more, as a merged table may have it
    metric.insert(metric.end(), {3.4, 3.6});
    RefreshedTable table(some_items(), truth, options("knn"), *alone, &built);
    CHECK(truth.retrained == 0);
    CHECK(table.size() == 2);
    std::vector<double> value(1);
    table.evaluate(kBest, kPicks, value);
    CHECK(value[0] == Approx(3.5));
    table.refresh(kBest, kPicks);  // which has its record
    CHECK(table.size() == 10);
}

TEST_CASE("a table that goes on from its state has the same bits") {
    Additive truth;
    const auto alone = make_local_collective();
    RefreshedTable whole(some_items(), truth, options("kernel"), *alone);
    whole.refresh(kBest, kPicks);
    const std::int64_t retrained = truth.retrained;
    RefreshedTable resumed(some_items(), truth, options("kernel"), *alone, whole.export_state());
    CHECK(truth.retrained == retrained);  // nothing for what is there
    whole.refresh(kWorst, kPicks);
    resumed.refresh(kWorst, kPicks);
    CHECK(resumed.export_state() == whole.export_state());
    std::vector<double> a(1), b(1);
    whole.evaluate(kBest, kPicks, a);
    resumed.evaluate(kBest, kPicks, b);
    CHECK(a == b);
}

TEST_CASE("a shared metric goes by the root's batches and hands out whole groups") {
    for (const int ranks : {1, 2, 3, 4}) {
        run_simulated_ranks(ranks, [&](Collective& collective) {
            Additive truth;
            SharedMetric shared(truth, collective, 4);
            std::vector<std::int32_t> batches;
            for (std::int32_t i = 0; i < 18; ++i) {
                batches.push_back(collective.is_root() ? i : 19 - i);  // one candidate each
            }
            std::vector<double> values(18);
            shared.evaluate(batches, 1, values);
            for (std::size_t i = 0; i < 18; ++i) CHECK(values[i] == static_cast<double>(i) / 20.0);
            CHECK((truth.retrained % 4 == 0 || truth.retrained % 4 == 2));  // the last group has 2
            CHECK(truth.retrained <= 20 / ranks + 4);
            std::vector<double> other(collective.is_root() ? 2 : 3);
            if (ranks == 1) return;
            CHECK_THROWS_WITH(shared.evaluate(std::span(batches).first(other.size()), 1, other),
                              contains("the root for 2 of 1"));
        });
    }
}

TEST_CASE("records are the same for any number of ranks, each of which retrains its share") {
    TrainState expected;
    for (const int ranks : {1, 2, 3}) {
        std::mutex lock;
        std::int64_t most = 0;
        run_simulated_ranks(ranks, [&](Collective& collective) {
            Additive truth;
            SharedMetric shared(truth, collective);
            RefreshedTable table(some_items(), shared, options(), collective);
            // What other ranks propose does not count.
            table.refresh(collective.is_root() ? kBest : kWorst, kPicks);
            const std::lock_guard guard(lock);
            most = std::max(most, truth.retrained);
            if (expected.empty()) expected = table.export_state();
            CHECK(table.export_state() == expected);
        });
        CHECK(most <= 68 / ranks + 2);
    }
}

TEST_CASE("tables that are fitted together have the bits of those that are fitted alone") {
    for (const char* const estimator : {"kernel", "ridge", "knn"}) {
        for (const int ranks : {1, 2, 3}) {
            run_simulated_ranks(ranks, [&](Collective& collective) {
                Additive truth;
                SharedMetric shared(truth, collective);
                std::vector<std::unique_ptr<RefreshedTable>> owned;
                std::vector<RefreshedTable*> together;
                std::vector<double> expected, found;
                const auto ask = [&](RefreshedTable& table, std::vector<double>& values) {
                    for (const auto& batch : {kBest, kWorst, {2, 5, 9, 14}}) {
                        values.resize(values.size() + 1);
                        table.evaluate(batch, kPicks, std::span(values).last(1));
                    }
                };
                for (std::uint64_t seed = 1; seed <= 4; ++seed) {
                    TableOptions own = options(estimator);
                    own.seed = seed;
                    RefreshedTable alone(some_items(), shared, own, collective);
                    ask(alone, expected);
                    owned.push_back(
                        std::make_unique<RefreshedTable>(some_items(), shared, own, collective));
                    together.push_back(owned.back().get());
                }
                fit_together(together, collective);
                for (RefreshedTable* table : together) ask(*table, found);
                CHECK(found == expected);
                // Fitted already, and fitted again where records have come.
                together[2]->refresh(kBest, kPicks);
                fit_together(together, collective);
                std::vector<double> value(1);
                together[2]->evaluate(kBest, kPicks, value);
                if (estimator == std::string("knn")) CHECK(value[0] == Approx(3.5));
            });
        }
    }
}

TEST_CASE("a table without signal says so when it is asked, on all ranks") {
    class Same final : public Metric {
      public:
        std::string_view name() const override { return "accuracy"; }
        void evaluate(std::span<const std::int32_t>, std::int64_t,
                      std::span<double> values) override {
            std::fill(values.begin(), values.end(), 0.25);
        }
    };
    run_simulated_ranks(3, [&](Collective& collective) {
        Same same;
        RefreshedTable table(some_items(), same, options(), collective);
        RefreshedTable* const tables[]{&table};
        CHECK_THROWS_WITH(fit_together(tables, collective), contains("no signal"));
    });
}

TEST_CASE("a search finds the best batch, by as many retrainings as it may have") {
    // 4845 batches of 4 of 20: 60 random ones hold the best of them with a chance of 1 in 80.
    Additive truth;
    const auto alone = make_local_collective();
    RefreshedTable table(some_items(), truth, options(), *alone);
    CHECK(table.best() != std::vector<std::int32_t>{16, 17, 18, 19});
    const SearchOptions search{.picks = kPicks, .refreshes = 3, .seed = 2};
    CHECK(search_table(table, search) == std::vector<std::int32_t>{16, 17, 18, 19});
    CHECK(truth.retrained == 60 + 3 * 8);
    // Nothing can be exchanged in a batch of all; the record is what there is.
    TableOptions all = options();
    all.least = kRows - 1;
    all.most = kRows;
    RefreshedTable full(some_items(), truth, all, *alone);
    CHECK(std::ssize(search_table(full, {.picks = kRows, .refreshes = 1})) >= kRows - 1);
}

TEST_CASE("a search has the same bits for any number of ranks") {
    std::vector<std::int32_t> expected;
    for (const int ranks : {1, 2, 3}) {
        std::mutex lock;
        run_simulated_ranks(ranks, [&](Collective& collective) {
            Additive truth;
            SharedMetric shared(truth, collective);
            RefreshedTable table(some_items(), shared, options("kernel"), collective);
            const auto found = search_table(table, {.picks = kPicks, .refreshes = 2, .seed = 4});
            const std::lock_guard guard(lock);
            if (expected.empty()) expected = found;
            CHECK(found == expected);
        });
    }
}
