// Work shared out over ranks: over simulated ranks and over MPI.

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "src/base/check.hpp"
#include "src/environments/environments.hpp"
#include "src/environments/points/point_proxy.hpp"
#include "src/environments/record_workers.hpp"
#include "src/environments/table_plan.hpp"
#include "tests/support/ranks.hpp"

using namespace thresher;
using thresher::test::on_all_messages;

namespace {

/// Subsets of three numbers that say which they are.
std::vector<std::int32_t> numbered(std::int64_t count) {
    std::vector<std::int32_t> subsets(static_cast<std::size_t>(3 * count));
    std::iota(subsets.begin(), subsets.end(), 0);
    return subsets;
}

/// The sum of a subset and the question.
void add_up(std::int64_t question, std::span<const std::int32_t> subsets, std::int64_t size,
            std::span<double> metrics) {
    for (std::size_t q = 0; 2 * q < metrics.size(); ++q) {
        const auto own =
            subsets.subspan(q * static_cast<std::size_t>(size), static_cast<std::size_t>(size));
        metrics[2 * q] = std::accumulate(own.begin(), own.end(), 0.0);
        metrics[2 * q + 1] = static_cast<double>(question);
    }
}

}  // namespace

TEST_CASE("every record comes back once, whoever made it", "[workers]") {
    on_all_messages(RecordWorkers::kMostUnsent, [](Messages& messages, Collective& collective) {
        agree(collective, [&] {
            Messages* const between = collective.size() > 1 ? &messages : nullptr;
            RecordWorkers workers(add_up, 2, between, collective);
            if (!collective.is_root()) return workers.serve();
            for (const std::int64_t count : {1, 31, 32, 500, 0, 1}) {
                const auto subsets = numbered(count);
                std::vector<double> metrics(static_cast<std::size_t>(2 * count), -1.0);
                std::vector<int> times(static_cast<std::size_t>(count), 0);
                workers.evaluate(count, subsets, 3, metrics,
                                 [&](std::int64_t first, std::int64_t done, double) {
                                     for (std::int64_t i = first; i < first + done; ++i) {
                                         ++times[static_cast<std::size_t>(i)];
                                     }
                                     return true;
                                 });
                for (std::int64_t i = 0; i < count; ++i) {
                    const auto at = static_cast<std::size_t>(i);
                    CHECK_ON_RANK(collective, times[at] == 1);
                    CHECK_ON_RANK(collective, metrics[2 * at] == static_cast<double>(9 * i + 3));
                    CHECK_ON_RANK(collective, metrics[2 * at + 1] == static_cast<double>(count));
                }
            }
            CHECK_ON_RANK(collective, workers.busy_share() <= 1.0);
        });
    });
}

TEST_CASE("work that is to stop ends with what is handed out", "[workers]") {
    on_all_messages(RecordWorkers::kMostUnsent, [](Messages& messages, Collective& collective) {
        agree(collective, [&] {
            Messages* const between = collective.size() > 1 ? &messages : nullptr;
            RecordWorkers workers(add_up, 2, between, collective);
            if (!collective.is_root()) return workers.serve();
            std::vector<double> metrics(2 * 5000, -1.0);
            std::int64_t came = 0;
            const bool all = workers.evaluate(
                0, numbered(5000), 3, metrics, [&](std::int64_t first, std::int64_t done, double) {
                    for (std::int64_t i = first; i < first + done; ++i) {
                        const double sum = static_cast<double>(9 * i + 3);
                        CHECK_ON_RANK(collective, metrics[static_cast<std::size_t>(2 * i)] == sum);
                    }
                    came += done;
                    return came < 100;
                });
            CHECK_ON_RANK(collective, !all);
            CHECK_ON_RANK(collective, came >= 100);
            // The others had two batches each, and the root one.
            CHECK_ON_RANK(collective,
                          came <= 100 + RecordWorkers::kBatch * (2 * collective.size() + 1));
            // And it can go on.
            std::vector<double> more(2 * 40);
            CHECK_ON_RANK(collective, workers.evaluate(1, numbered(40), 3, more));
            CHECK_ON_RANK(collective, more[2 * 39 + 1] == 1.0);
        });
    });
}

TEST_CASE("a table has the bits of one rank for any number of ranks", "[workers]") {
    on_all_messages(RecordWorkers::kMostUnsent, [](Messages& messages, Collective& collective) {
        const Environment environment = make_environment({.candidates = 30, .reward = 50}, 1);
        ProxyOptions options;
        options.learner.steps = 10;
        const PointProxy proxy(environment, options);
        const TablePlan plan{.candidates = 30, .records = 150, .least_size = 2, .most_size = 6};
        std::vector<std::int32_t> subsets;
        for (std::int64_t i = 0; i < 150; ++i) {
            const auto subset = uniform_subset(plan, i);
            subsets.insert(subsets.end(), subset.begin(), subset.end());
        }
        agree(collective, [&] {
            Messages* const between = collective.size() > 1 ? &messages : nullptr;
            RecordWorkers workers(
                [&](std::int64_t, std::span<const std::int32_t> some, std::int64_t size,
                    std::span<double> metrics) {
                    proxy.evaluate(some, size, Part::reward, metrics);
                },
                2, between, collective);
            if (!collective.is_root()) return workers.serve();
            std::vector<double> metrics(300), alone(300);
            workers.evaluate(0, subsets, 6, metrics);
            proxy.evaluate(subsets, 6, Part::reward, alone);
            CHECK_ON_RANK(collective, metrics == alone);
        });
    });
}

TEST_CASE("a rank that fails ends all ranks with its error", "[workers]") {
    on_all_messages(RecordWorkers::kMostUnsent, [](Messages& messages, Collective& collective) {
        const int last = collective.size() - 1;
        std::string error;
        try {
            agree(collective, [&] {
                Messages* const between = collective.size() > 1 ? &messages : nullptr;
                RecordWorkers workers(
                    [&](std::int64_t question, std::span<const std::int32_t> subsets,
                        std::int64_t size, std::span<double> metrics) {
                        THRESHER_CHECK(collective.rank() != last, "a learner has diverged");
                        add_up(question, subsets, size, metrics);
                    },
                    2, between, collective);
                if (!collective.is_root()) return workers.serve();
                std::vector<double> metrics(2 * 5000);
                workers.evaluate(0, numbered(5000), 3, metrics);
            });
        } catch (const Error& failed) {
            error = failed.what();
        }
        CHECK_ON_RANK(collective, error.starts_with("a learner has diverged"));
    });
}
