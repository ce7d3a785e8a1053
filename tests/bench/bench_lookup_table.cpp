// bench_lookup_table [--records R] [--candidates N] [--size B] [--neighbours M] [--queries Q]
//                    [--bits FILE] [--repeats T]
//
// Processor seconds of one thread, the best of T each; one JSON line: the M nearest of R records
// among N candidates for each of Q queries; the kernel estimator of 500 records of 200 candidates,
// fitted, and asked for one subset of 10; and one retraining of the proxy (softmax regression on 20
// labelled points and 10 candidates in 40 dimensions, 100 steps, 10 classes) with its evaluation on
// 800 reward points, 32 subsets side by side. Records and queries are written to FILE as packed
// words.

#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "src/base/thread_team.hpp"
#include "src/environments/points/point_proxy.hpp"
#include "src/environments/table_plan.hpp"
#include "src/policy/lookup_table/estimator.hpp"
#include "src/random/philox.hpp"
#include "tests/bench/bench.hpp"

using namespace thresher;

namespace {

PackedSubsets random_subsets(std::int64_t candidates, std::int64_t size, std::int64_t count,
                             std::uint64_t seed) {
    TablePlan plan;
    plan.candidates = candidates;
    plan.least_size = plan.most_size = size;
    plan.seed = seed;
    PackedSubsets subsets(candidates);
    for (std::int64_t i = 0; i < count; ++i) subsets.add(uniform_subset(plan, i));
    return subsets;
}

Points random_points(std::int64_t rows, std::int64_t d, std::int64_t classes, std::uint64_t seed) {
    const KeyedRandom random(seed, Stream::synthetic, 0);
    Points points;
    points.rows = rows;
    for (std::int64_t i = 0; i < rows; ++i) {
        const std::int64_t target = random.integer(i, classes);
        points.targets.push_back(static_cast<std::int32_t>(target));
        for (std::int64_t j = 0; j < d; ++j) {
            points.features.push_back(
                static_cast<float>(random.normal(rows + i * d + j) + (j == target ? 2.0 : 0.0)));
        }
    }
    return points;
}

void write_bits(const std::string& path, const PackedSubsets& subsets) {
    std::ofstream file(path, std::ios::binary | std::ios::app);
    file.write(reinterpret_cast<const char*>(subsets.bits().data()),
               static_cast<std::streamsize>(subsets.bits().size_bytes()));
    THRESHER_CHECK_AS(FileError, file.good(), "{}: cannot be written", path);
}

}  // namespace

int main(int argc, char** argv) {
    const auto count = [&](const char* name, const char* otherwise) {
        return std::stoll(bench::option(argc, argv, name, otherwise));
    };
    use_threads(1);
    at::set_num_threads(1);
    const std::int64_t r = count("--records", "5000"), n = count("--candidates", "10000");
    const std::int64_t size = count("--size", "100"), m = count("--neighbours", "5");
    const std::int64_t q = count("--queries", "32"), repeats = count("--repeats", "5");
    const PackedSubsets records = random_subsets(n, size, r, 1),
                        queries = random_subsets(n, size, q, 2);
    const std::string bits = bench::option(argc, argv, "--bits", "");
    if (!bits.empty()) {
        std::ofstream(bits, std::ios::binary | std::ios::trunc);
        write_bits(bits, records);
        write_bits(bits, queries);
    }

    constexpr std::int64_t kItems = 200, kBatch = 10, kFitted = 500, kDimensions = 40,
                           kClasses = 10;
    Environment environment;
    environment.dimensions = kDimensions;
    environment.classes = kClasses;
    environment.labelled = random_points(20, kDimensions, kClasses, 1);
    environment.candidates = random_points(kItems, kDimensions, kClasses, 2);
    environment.reward = random_points(800, kDimensions, kClasses, 3);
    const PointProxy proxy(environment, {});
    TablePlan plan;
    plan.candidates = kItems;
    std::vector<std::int32_t> subsets;
    for (std::int64_t i = 0; i < kFitted; ++i) {
        const auto subset = uniform_subset(plan, i);
        subsets.insert(subsets.end(), subset.begin(), subset.end());
    }
    std::vector<double> metrics(2 * kFitted), values;
    proxy.evaluate(subsets, kBatch, Part::reward, metrics);
    for (std::size_t i = 0; i < metrics.size(); i += 2) values.push_back(metrics[i]);
    const Items items =
        make_items({kDimensions, kClasses, environment.candidates.features,
                    environment.labelled.features, proxy.log_probs({}, Part::candidates, {})});
    const PackedSubsets fitted = random_subsets(kItems, kBatch, kFitted, 0);

    bench::Best nearest, fit, query, retrain;
    NearestRecords found;
    std::unique_ptr<SubsetEstimator> kernel;
    for (std::int64_t repeat = 0; repeat < repeats; ++repeat) {
        nearest.add(bench::cpu_seconds([&] { found = nearest_records(records, queries, m); }));
        fit.add(bench::cpu_seconds([&] {
            kernel = fit_estimator("kernel", {fitted, values}, items, {});
        }));
        std::vector<double> estimates(values.size());
        query.add(bench::cpu_seconds([&] { kernel->estimate(subsets, kBatch, estimates, {}); }));
        retrain.add(bench::cpu_seconds([&] {
            for (std::size_t i = 0; i < 10; ++i) {
                proxy.evaluate(std::span(subsets).subspan(i * 32 * kBatch, 32 * kBatch), kBatch,
                               Part::reward, std::span(metrics).first(64));
            }
        }));
    }
    fmt::print("{}\n", nlohmann::json{{"benchmark", "table"},
                                      {"records", r},
                                      {"candidates", n},
                                      {"neighbours", m},
                                      {"queries", q},
                                      {"threads", 1},
                                      {"nearest_s", nearest.value / static_cast<double>(q)},
                                      {"nearest", found.records},
                                      {"kernel_fit_s", fit.value},
                                      {"kernel_query_s", query.value / kFitted},
                                      {"retrain_s", retrain.value / 320.0}}
                           .dump());
}
