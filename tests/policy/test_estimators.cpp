#include <ATen/core/Tensor.h>
#include <ATen/ops/zeros.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "src/base/check.hpp"
#include "src/policy/lookup_table/gaussian_process.hpp"
#include "src/policy/lookup_table/table_check.hpp"
#include "src/policy/lookup_table/table_metric.hpp"
#include "tests/policy/lookup_support.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/golden.hpp"

using namespace thresher;
using thresher::test::contains;

namespace {

/// An effect of each candidate, whatever the others.
double additive(const std::vector<std::int32_t>& subset) {
    const KeyedRandom random(2, Stream::synthetic, 0);
    double sum = 0.5;
    for (const std::int32_t item : subset) sum += 0.01 * random.normal(item);
    return sum;
}

/// Correlation with the truth on 200 fresh subsets.
template <class Worth>
double correlation_on_fresh(const TableMetric& metric, std::int64_t n, std::int64_t size,
                            const Worth& worth) {
    std::vector<double> truth, estimates;
    for (std::uint32_t i = 0; i < 200; ++i) {
        const auto subset = toy_subset(n, size, 5000 + i);
        double value = 0.0;
        metric.evaluate(subset, size, std::span(&value, 1), {});
        truth.push_back(worth(subset));
        estimates.push_back(value);
    }
    return correlation(truth, estimates);
}

std::vector<std::uint64_t> words_of(const std::string& hex, std::int64_t n) {
    std::vector<std::uint64_t> words(static_cast<std::size_t>((n + 63) / 64), 0);
    for (std::size_t byte = 0; 2 * byte < hex.size(); ++byte) {
        words[byte / 8] |= std::stoull(hex.substr(2 * byte, 2), nullptr, 16) << (8 * (byte % 8));
    }
    return words;
}

std::vector<std::uint64_t> words_of_bits(const std::string& bits) {
    std::vector<std::uint64_t> words{0};
    for (std::size_t i = 0; i < bits.size(); ++i) {
        words[0] |= std::uint64_t{bits[i] == '1'} << i;
    }
    return words;
}

void check_query(const PackedSubsets& records, const std::vector<double>& values,
                 const std::vector<std::uint64_t>& words, const nlohmann::json& query) {
    const auto& expected = query["expected"];
    PackedSubsets queries(records.candidates(), words);
    const auto m = query["M"].get<std::int64_t>();
    const double tau = query["tau"].get<double>();
    const NearestRecords nearest = nearest_records(records, queries, m);
    CHECK(nearest.records == expected["nearest"].get<std::vector<std::int32_t>>());
    CHECK(nearest.distances == expected["nearest_distances"].get<std::vector<std::int32_t>>());
    std::vector<double> of_nearest;
    for (const std::int32_t record : nearest.records) {
        of_nearest.push_back(values[static_cast<std::size_t>(record)]);
    }
    const auto compare = [&](const std::vector<double>& found, const nlohmann::json& wanted) {
        REQUIRE(found.size() == wanted.size());
        for (std::size_t i = 0; i < found.size(); ++i) {
            CHECK(found[i] == Approx(wanted[i].get<double>()).epsilon(1e-12).margin(1e-300));
        }
    };
    const auto inverse =
        neighbour_weights(nearest.distances, NeighbourWeights::inverse_distance, tau);
    compare(inverse, expected["inverse_distance_weights"]);
    compare(neighbour_weights(nearest.distances, NeighbourWeights::softmax, tau),
            expected["softmax_weights"]);
    const auto estimate = [&](NeighbourWeights weights) {
        return knn_estimate(nearest.distances, of_nearest, weights, tau);
    };
    CHECK(estimate(NeighbourWeights::inverse_distance) ==
          Approx(expected["inverse_distance"].get<double>()).epsilon(1e-12));
    CHECK(estimate(NeighbourWeights::softmax) ==
          Approx(expected["softmax_with_exact_hit_rule"].get<double>()).epsilon(1e-12));
}

}  // namespace

TEST_CASE("nearest records and their weights are the reference ones", "[lookup]") {
    const nlohmann::json reference = test::golden("lookup_table.json");
    if (reference.is_null()) return;
    const auto& small = reference["small"];
    PackedSubsets records(small["N"].get<std::int64_t>());
    for (const auto& bits : small["records"]) records.add_packed(words_of_bits(bits));
    const auto values = small["values"].get<std::vector<double>>();
    for (const auto& query : small["queries"]) {
        check_query(records, values, words_of_bits(query["query"]), query);
    }
    for (const auto& table : reference["packed"]) {
        const auto n = table["N"].get<std::int64_t>();
        PackedSubsets packed(n);
        for (const auto& hex : table["records_hex"]) packed.add_packed(words_of(hex, n));
        for (const auto& query : table["queries"]) {
            check_query(packed, table["values"].get<std::vector<double>>(),
                        words_of(query["query_hex"], n), query);
        }
    }
}

TEST_CASE("closed-form leave-one-out is what leaving one out gives", "[lookup]") {
    constexpr std::int64_t kRecords = 7;
    const KeyedRandom random(4, Stream::synthetic, 0);
    std::vector<double> x, y;
    for (std::int64_t i = 0; i < kRecords; ++i) {
        x.push_back(3.0 * random.uniform(i));
        y.push_back(std::sin(x.back()) + 0.1 * random.normal(100 + i));
    }
    const double mean = std::accumulate(y.begin(), y.end(), 0.0) / kRecords;
    double constant = 0.0;  // then that of the process
    const auto kernel = [&](double a, double b) {
        return constant + std::exp(-0.5 * (a - b) * (a - b));
    };
    at::Tensor matrix = at::zeros({kRecords, kRecords}, at::TensorOptions(at::kDouble));
    for (std::int64_t i = 0; i < kRecords; ++i) {
        for (std::int64_t j = 0; j < kRecords; ++j) {
            matrix.mutable_data_ptr<double>()[i * kRecords + j] =
                kernel(x[static_cast<std::size_t>(i)], x[static_cast<std::size_t>(j)]);
        }
    }
    const double noise = 0.05;
    const GaussianProcess process(matrix, y, noise);
    CHECK(process.constant() == Approx(10.0));
    constant = process.constant();

    // Gaussian elimination on the others, about the same mean.
    const auto solve = [&](std::size_t without, std::vector<double> right) {
        std::vector<std::size_t> rows;
        for (std::size_t i = 0; i < kRecords; ++i) {
            if (i != without) rows.push_back(i);
        }
        std::vector<std::vector<double>> a;
        for (const std::size_t i : rows) {
            a.emplace_back();
            for (const std::size_t j : rows) {
                a.back().push_back(kernel(x[i], x[j]) + (i == j ? noise : 0.0));
            }
        }
        for (std::size_t i = 0; i < a.size(); ++i) {
            for (std::size_t k = i + 1; k < a.size(); ++k) {
                const double factor = a[k][i] / a[i][i];
                for (std::size_t j = i; j < a.size(); ++j) a[k][j] -= factor * a[i][j];
                right[k] -= factor * right[i];
            }
        }
        for (std::size_t i = a.size(); i-- > 0;) {
            for (std::size_t j = i + 1; j < a.size(); ++j) right[i] -= a[i][j] * right[j];
            right[i] /= a[i][i];
        }
        return right;
    };
    double scaled = 0.0, logarithms = 0.0;
    std::vector<double> variances;
    for (std::size_t out = 0; out < kRecords; ++out) {
        std::vector<double> with_out, values;
        for (std::size_t i = 0; i < kRecords; ++i) {
            if (i == out) continue;
            with_out.push_back(kernel(x[i], x[out]));
            values.push_back(y[i] - mean);
        }
        const std::vector<double> weights = solve(out, values), gains = solve(out, with_out);
        const double estimate =
            std::inner_product(weights.begin(), weights.end(), with_out.begin(), mean);
        const double variance =
            1.0 + constant + noise -
            std::inner_product(gains.begin(), gains.end(), with_out.begin(), 0.0);
        scaled += (y[out] - estimate) * (y[out] - estimate) / variance / kRecords;
        logarithms += std::log(variance);
    }
    CHECK(process.leave_one_out().variance == Approx(scaled).epsilon(1e-9));
    CHECK(process.leave_one_out().log_likelihood ==
          Approx(-0.5 * (logarithms + kRecords * std::log(scaled))).epsilon(1e-9));
}

TEST_CASE("few records of many candidates are not believed to the letter", "[lookup]") {
    // Fewer records than candidates, and noise as large as what the candidates do.
    const KeyedRandom noise(8, Stream::synthetic, 0);
    std::int64_t record = 0;
    const auto noisy = [&](const std::vector<std::int32_t>& subset) {
        return additive(subset) + 0.03 * noise.normal(record++);
    };
    const LookupTable table = toy_table(200, 200, 10, noisy);
    const std::vector<std::string> names{"kernel", "ridge"};
    for (const EstimatorCheck& check :
         check_table(table, "accuracy", names, toy_items(200), {}, 1)) {
        INFO(check.estimator << ": " << check.summary);
        CHECK(check.mean_error < 1.25 * check.mean_error_of_mean);
        CHECK(check.within_2 >= 0.8);
    }
}

TEST_CASE("ridge finds the effects of candidates that add up", "[lookup]") {
    const LookupTable table = toy_table(40, 300, 6, additive);
    const Items items = toy_items(40);
    const TableMetric metric(table, "accuracy", "ridge", items);
    CHECK(correlation_on_fresh(metric, 40, 6, additive) > 0.9999);
    double value = 0.0;
    const auto subset = toy_subset(40, 6, 9999);
    metric.evaluate(subset, 6, std::span(&value, 1), {});
    CHECK(value == Approx(additive(subset)).epsilon(1e-3));
}

TEST_CASE("the kernel learns what ridge cannot: that a set repeats itself", "[lookup]") {
    // Worth is coverage of the plane by the set, in which near copies count once.
    const Items items = toy_items(60);
    const auto worth = [&](const std::vector<std::int32_t>& subset) {
        double covered = 0.0;
        for (std::size_t i = 0; i < 60; ++i) {
            double nearest = 1e9;
            for (const std::int32_t item : subset) {
                const auto at = static_cast<std::size_t>(item);
                nearest = std::min(nearest, std::hypot(double{items.features[2 * i]} -
                                                           double{items.features[2 * at]},
                                                       double{items.features[2 * i + 1]} -
                                                           double{items.features[2 * at + 1]}));
            }
            covered -= nearest / 60.0;
        }
        return covered;
    };
    const LookupTable table = toy_table(60, 200, 5, worth);
    const double kernel =
        correlation_on_fresh(TableMetric(table, "accuracy", "kernel", items), 60, 5, worth);
    const double ridge =
        correlation_on_fresh(TableMetric(table, "accuracy", "ridge", items), 60, 5, worth);
    const double knn =
        correlation_on_fresh(TableMetric(table, "accuracy", "knn", items), 60, 5, worth);
    CHECK(kernel > 0.95);
    CHECK(kernel > ridge);
    CHECK(ridge > knn);
}

TEST_CASE("the kernel takes candidates that are there several times", "[lookup]") {
    constexpr std::int64_t kPoints = 100, kTimes = 5, kAll = kPoints * kTimes;
    const Items once = toy_items(kPoints);
    std::vector<float> features, log_probs;
    for (std::int64_t i = 0; i < kTimes; ++i) {
        features.insert(features.end(), once.features.begin(), once.features.end());
        for (std::int64_t j = 0; j < 3 * kPoints; ++j) log_probs.push_back(-std::log(3.0F));
    }
    const std::vector<float> labelled{0.0F, 0.0F};
    const Items items = make_items({2, 3, features, labelled, log_probs});
    const auto worth = [&](const std::vector<std::int32_t>& subset) {
        double sum = 0.0;
        for (const std::int32_t item : subset) {
            sum += double{once.features[static_cast<std::size_t>(2 * (item % kPoints))]};
        }
        return sum;
    };
    const LookupTable table = toy_table(kAll, 200, 5, worth);
    CHECK(correlation_on_fresh(TableMetric(table, "accuracy", "kernel", items), kAll, 5, worth) >
          0.9);
}

TEST_CASE("estimates do not change when their deviations are asked for", "[lookup]") {
    const LookupTable table = toy_table(40, 120, 6, additive);
    const Items items = toy_items(40);
    for (const EstimatorInfo& estimator : estimators()) {
        const TableMetric metric(table, "accuracy", estimator.name, items);
        std::vector<std::int32_t> subsets;
        for (std::uint32_t i = 0; i < 9; ++i) {
            const auto subset = toy_subset(40, 6, 7000 + i);
            subsets.insert(subsets.end(), subset.begin(), subset.end());
        }
        std::vector<double> plain(9), with(9), deviations(9), alone(1);
        metric.evaluate(subsets, 6, plain, {});
        metric.evaluate(subsets, 6, with, deviations);
        CHECK(plain == with);
        for (std::size_t q = 0; q < 9; ++q) {
            CHECK(deviations[q] > 0.0);
            metric.evaluate(std::span(subsets).subspan(6 * q, 6), 6, alone, {});
            CHECK(alone[0] == plain[q]);
        }
    }
}

TEST_CASE("with neither noise nor other records between, knn returns the record", "[lookup]") {
    const LookupTable table = toy_table(40, 100, 6, additive);
    const Items items = toy_items(40);
    for (const bool rescale : {true, false}) {
        EstimatorOptions options;
        options.rescale = rescale;
        const TableMetric metric(table, "accuracy", "knn", items, options);
        for (std::uint32_t i = 0; i < 20; ++i) {
            double value = 0.0;
            metric.evaluate(toy_subset(40, 6, i), 6, std::span(&value, 1), {});
            CHECK(value == Approx(table.metrics.at("accuracy")[i]).epsilon(1e-12));
        }
    }
}

TEST_CASE("averaging over neighbours shrinks the spread, and rescaling undoes it", "[lookup]") {
    const LookupTable table = toy_table(60, 400, 6, additive);
    const Items items = toy_items(60);
    const auto spread = [&](bool rescale) {
        EstimatorOptions options;
        options.rescale = rescale;
        const TableMetric metric(table, "accuracy", "knn", items, options);
        CHECK_THAT(metric.summary(), contains("shrunk to 0."));
        double sum = 0.0, squares = 0.0;
        for (std::uint32_t i = 0; i < 300; ++i) {
            double value = 0.0;
            metric.evaluate(toy_subset(60, 6, 6000 + i), 6, std::span(&value, 1), {});
            sum += value / 300.0;
            squares += value * value / 300.0;
        }
        return std::sqrt(squares - sum * sum);
    };
    const double truth = 0.01 * std::sqrt(6.0);  // about; effects have a deviation of .01
    CHECK(spread(false) < 0.35 * truth);
    CHECK(spread(true) > 1.5 * spread(false));
}

TEST_CASE("ranks and correlations are the textbook ones", "[lookup]") {
    const std::vector<double> a{1.0, 2.0, 3.0}, b{30.0, 10.0, 20.0}, flat{4.0, 4.0, 4.0};
    CHECK(rank_correlation(a, b) == Approx(-0.5));
    CHECK(rank_correlation(a, flat) == 0.0);
    // Ties get mean ranks: {0, 1.5, 1.5, 3} against {0, 1, 2, 3}.
    CHECK(rank_correlation(std::vector<double>{1, 2, 2, 3}, std::vector<double>{1, 2, 3, 4}) ==
          Approx(4.5 / std::sqrt(4.5 * 5.0)));
    CHECK(correlation(a, std::vector<double>{2.0, 4.0, 6.0}) == Approx(1.0));
}

TEST_CASE("a check holds records out and knows the error of the mean", "[lookup]") {
    const LookupTable table = toy_table(40, 300, 6, additive);
    const std::vector<std::string> names{"kernel", "ridge", "knn"};
    const auto checks = check_table(table, "accuracy", names, toy_items(40), {}, 1);
    REQUIRE(checks.size() == 9);
    for (const EstimatorCheck& check : checks) {
        CHECK(check.held_out == 60);
        CHECK(check.least_size == 6);
        // Mean absolute deviation of a normal with deviation .01 sqrt(6 . 34/40): within a third.
        CHECK(check.mean_error_of_mean == Approx(0.018).epsilon(0.35));
    }
    CHECK(checks[2].records == 240);
    CHECK(checks[5].estimator == "ridge");
    CHECK(checks[5].mean_error < 0.05 * checks[5].mean_error_of_mean);
    CHECK(checks[5].rank_correlation > 0.99);
    CHECK(checks[2].mean_error < checks[0].mean_error);
}

TEST_CASE("tables and subsets that cannot be used say why", "[lookup]") {
    const Items items = toy_items(40);
    const LookupTable table = toy_table(40, 50, 6, additive);
    TableMetric metric(table, "accuracy", "ridge", items);
    std::vector<double> value(1);
    CHECK_THROWS_WITH(metric.evaluate(toy_subset(40, 5, 1), 5, value), contains("have 6"));
    CHECK_THROWS_WITH(metric.evaluate(std::vector<std::int32_t>{1, 2, 3, 4, 5, 40}, 6, value),
                      contains("candidate 40"));
    CHECK_THROWS_WITH(metric.evaluate(std::vector<std::int32_t>{1, 2, 3, 4, 5, 5}, 6, value),
                      contains("5 twice"));
    CHECK_THROWS_WITH(metric.evaluate(std::vector<std::int32_t>{1, 2, 3, 4, 5, -1}, 6, value),
                      contains("empty place"));
    CHECK_THROWS_WITH(TableMetric(table, "loss", "ridge", items), contains("it has accuracy"));
    CHECK_THROWS_WITH(TableMetric(table, "accuracy", "oracle", items),
                      contains("kernel, ridge, knn"));
    CHECK_THROWS_WITH(TableMetric(table, "accuracy", "kernel", toy_items(41)),
                      contains("do not belong together"));
    CHECK_THROWS_WITH(TableMetric(toy_table(40, 1, 6, additive), "accuracy", "knn", items),
                      contains("1 record with"));
    const auto flat = [](const std::vector<std::int32_t>&) { return 0.7; };
    CHECK_THROWS_WITH(TableMetric(toy_table(40, 50, 6, flat), "accuracy", "kernel", items),
                      contains("no signal"));
    EstimatorOptions options;
    options.temperature = 0.0;
    CHECK_THROWS_WITH(TableMetric(table, "accuracy", "knn", items, options), contains("above 0"));
}

TEST_CASE("a candidate may have a class that is impossible", "[lookup]") {
    const float never = -std::numeric_limits<float>::infinity(), half = std::log(0.5F);
    const Items items = make_items({1, 2, {1.0F, 2.0F}, {0.0F}, {0.0F, never, half, half}});
    CHECK(items.uncertainty[0] == 0.0);
    CHECK(std::abs(items.uncertainty[1] - std::log(2.0)) < 1e-6);
}

TEST_CASE("facts of candidates that are no numbers are refused by name", "[lookup]") {
    const float nan = std::nanf("");
    CHECK_THROWS_WITH(make_items({1, 2, {1.0F, nan}, {0.0F}, {-1.0F, -1.0F, -1.0F, -1.0F}}),
                      contains("feature 0 of candidate 1 is nan"));
    CHECK_THROWS_WITH(make_items({1, 2, {1.0F, 2.0F}, {nan}, {-1.0F, -1.0F, -1.0F, -1.0F}}),
                      contains("feature 0 of labelled point 0 is nan"));
    CHECK_THROWS_WITH(make_items({1, 2, {1.0F, 2.0F}, {0.0F}, {-1.0F, -1.0F, -1.0F, nan}}),
                      contains("log-probability 1 of candidate 1 is nan"));
}

TEST_CASE("records whose metric is no number are set apart", "[lookup]") {
    LookupTable table = toy_table(40, 50, 6, additive);
    table.metrics["accuracy"][3] = std::nan("");
    table.metrics["accuracy"][7] = INFINITY;
    const UsableRecords usable = usable_records(table, "accuracy");
    CHECK(usable.quarantined == 2);
    CHECK(usable.subsets.size() == 48);
    CHECK(usable.values[3] == table.metrics["accuracy"][4]);
}

TEST_CASE("tables are merged once however often, and never when mixed", "[lookup]") {
    const LookupTable whole = toy_table(40, 20, 6, additive);
    const auto part = [&](std::int64_t which) {
        LookupTable table(40);
        table.ids = whole.ids;
        table.candidates_checksum = whole.candidates_checksum;
        table.proxy = whole.proxy;
        table.metrics["accuracy"] = {};
        for (std::int64_t i = which; i < 20; i += 3) {
            const auto at = static_cast<std::size_t>(i);
            table.subsets.add_packed(whole.subsets[i]);
            table.numbers.push_back(i);
            table.seeds.push_back(9);
            table.seconds.push_back(1.5);
            table.metrics["accuracy"].push_back(whole.metrics.at("accuracy")[at]);
        }
        return table;
    };
    LookupTable merged = part(2);
    for (const std::int64_t which : {0, 1, 0, 2}) merge_into(merged, part(which));
    CHECK(merged.size() == 20);
    CHECK(merged.numbers == whole.numbers);
    CHECK(merged.metrics == whole.metrics);
    CHECK(std::equal(merged.subsets.bits().begin(), merged.subsets.bits().end(),
                     whole.subsets.bits().begin()));
    LookupTable other = part(0);
    other.candidates_checksum = "others";
    CHECK_THROWS_WITH(merge_into(merged, other), contains("different candidates"));
    other = part(0);
    other.proxy = "mlp";
    CHECK_THROWS_WITH(merge_into(merged, other), contains("different proxies"));
    other = part(0);
    other.metrics["accuracy"][0] += 1e-12;
    CHECK_THROWS_WITH(merge_into(merged, other), contains("record 0 of seed 9"));
    CHECK(merged.size() == 20);
}
