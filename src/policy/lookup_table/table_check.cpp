#include "src/policy/lookup_table/table_check.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "src/base/check.hpp"
#include "src/random/permutation.hpp"

namespace thresher {

namespace {

constexpr std::size_t kSizeRanges = 4;

struct HeldOut {
    std::vector<std::int32_t> subset;
    double value = 0.0, estimate = 0.0, deviation = 0.0;
};

std::vector<double> ranks(std::span<const double> values) {
    std::vector<std::size_t> order(values.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::sort(order.begin(), order.end(),
              [&](std::size_t a, std::size_t b) { return values[a] < values[b]; });
    std::vector<double> found(values.size());
    for (std::size_t begin = 0, end = 0; begin < order.size(); begin = end) {
        while (end < order.size() && values[order[end]] == values[order[begin]]) ++end;
        for (std::size_t i = begin; i < end; ++i) {
            found[order[i]] = 0.5 * static_cast<double>(begin + end - 1);
        }
    }
    return found;
}

EstimatorCheck judge(std::span<const HeldOut> held_out, double mean) {
    EstimatorCheck check;
    check.held_out = std::ssize(held_out);
    const double n = static_cast<double>(held_out.size());
    std::vector<double> values, estimates;
    check.least_size = check.most_size = std::ssize(held_out.front().subset);
    for (const HeldOut& record : held_out) {
        const double error = std::abs(record.value - record.estimate);
        check.mean_error += error / n;
        check.mean_error_of_mean += std::abs(record.value - mean) / n;
        check.within_1 += error <= record.deviation ? 1.0 / n : 0.0;
        check.within_2 += error <= 2.0 * record.deviation ? 1.0 / n : 0.0;
        check.least_size = std::min(check.least_size, std::ssize(record.subset));
        check.most_size = std::max(check.most_size, std::ssize(record.subset));
        values.push_back(record.value);
        estimates.push_back(record.estimate);
    }
    check.rank_correlation = rank_correlation(values, estimates);
    check.correlation = correlation(values, estimates);
    return check;
}

}  // namespace

double correlation(std::span<const double> a, std::span<const double> b) {
    const double n = static_cast<double>(a.size());
    const double mean_a = std::accumulate(a.begin(), a.end(), 0.0) / n;
    const double mean_b = std::accumulate(b.begin(), b.end(), 0.0) / n;
    double aa = 0.0, ab = 0.0, bb = 0.0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        aa += (a[i] - mean_a) * (a[i] - mean_a);
        ab += (a[i] - mean_a) * (b[i] - mean_b);
        bb += (b[i] - mean_b) * (b[i] - mean_b);
    }
    return aa > 0.0 && bb > 0.0 ? ab / std::sqrt(aa * bb) : 0.0;
}

double rank_correlation(std::span<const double> a, std::span<const double> b) {
    return correlation(ranks(a), ranks(b));
}

std::vector<EstimatorCheck> check_table(const LookupTable& table, const std::string& metric,
                                        std::span<const std::string> estimator_names,
                                        const Items& items, const EstimatorOptions& options,
                                        std::uint64_t seed) {
    const UsableRecords usable = usable_records(table, metric);
    const std::int64_t all = usable.subsets.size(), held = all / 5;
    THRESHER_CHECK(all >= 10,
                   "the table has {} usable records; 10 are the fewest of which some can be held "
                   "out",
                   all);
    const KeyedPermutation order(all, seed, Stream::table_records, 2);
    std::vector<HeldOut> held_out;
    for (std::int64_t i = 0; i < held; ++i) {
        const std::int64_t row = order(i);
        held_out.push_back(
            {usable.subsets.members(row), usable.values[static_cast<std::size_t>(row)], 0.0, 0.0});
    }
    std::sort(held_out.begin(), held_out.end(), [](const HeldOut& a, const HeldOut& b) {
        return std::make_pair(a.subset.size(), a.subset) <
               std::make_pair(b.subset.size(), b.subset);
    });
    std::vector<EstimatorCheck> checks;
    for (const std::string& name : estimator_names) {
        for (const std::int64_t part : {4, 2, 1}) {
            const std::int64_t count = (all - held) / part;
            PackedSubsets subsets(usable.subsets.candidates());
            std::vector<double> values;
            for (std::int64_t i = held; i < held + count; ++i) {
                subsets.add_packed(usable.subsets[order(i)]);
                values.push_back(usable.values[static_cast<std::size_t>(order(i))]);
            }
            const auto [least, most] = std::minmax_element(values.begin(), values.end());
            if (count < 2 || *least == *most) continue;
            const auto estimator = fit_estimator(name, {subsets, values}, items, options);
            for (HeldOut& record : held_out) {
                estimator->estimate(record.subset, std::ssize(record.subset),
                                    std::span(&record.estimate, 1),
                                    std::span(&record.deviation, 1));
            }
            const double mean =
                std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(count);
            const auto add = [&](std::span<const HeldOut> some) {
                EstimatorCheck check = judge(some, mean);
                check.estimator = name;
                check.records = count;
                check.summary = estimator->summary();
                checks.push_back(std::move(check));
            };
            add(held_out);
            const bool sizes_differ =
                held_out.front().subset.size() != held_out.back().subset.size();
            if (part > 1 || !sizes_differ) continue;
            // Ranges of sizes with as many records each; a size is never in two of them.
            for (std::size_t begin = 0; begin < held_out.size();) {
                std::size_t end =
                    std::min(held_out.size(),
                             begin + std::max<std::size_t>(2, held_out.size() / kSizeRanges));
                while (end < held_out.size() &&
                       held_out[end].subset.size() == held_out[end - 1].subset.size()) {
                    ++end;
                }
                add(std::span(held_out).subspan(begin, end - begin));
                begin = end;
            }
        }
    }
    return checks;
}

}  // namespace thresher
