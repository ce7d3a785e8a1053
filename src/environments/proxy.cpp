#include "src/environments/proxy.hpp"

#include <fmt/ranges.h>

#include <algorithm>

#include "src/base/check.hpp"

namespace thresher {

std::size_t Proxy::metric(std::string_view name) const {
    const auto& names = metric_names();
    const auto found = std::find(names.begin(), names.end(), name);
    THRESHER_CHECK_AS(UsageError, found != names.end(), "unknown metric \"{}\"; known: {}", name,
                      fmt::join(names, ", "));
    return static_cast<std::size_t>(found - names.begin());
}

void Proxy::check_subsets(std::span<const std::int32_t> subsets, std::int64_t size) const {
    const std::int64_t all = candidates();
    std::vector<std::int64_t> seen(static_cast<std::size_t>(all), -1);
    for (std::size_t i = 0; i < subsets.size(); ++i) {
        if (subsets[i] == -1) continue;
        const auto subset = static_cast<std::int64_t>(i) / size;
        THRESHER_CHECK(subsets[i] >= 0 && subsets[i] < all,
                       "subset {} holds candidate {}, but there are {} candidates, from 0", subset,
                       subsets[i], all);
        std::int64_t& last = seen[static_cast<std::size_t>(subsets[i])];
        THRESHER_CHECK(last != subset, "subset {} holds candidate {} twice", subset, subsets[i]);
        last = subset;
    }
}

void Proxy::evaluate(std::span<const std::int32_t> subsets, std::int64_t size, Part judged_on,
                     std::span<double> metrics) const {
    const std::int64_t width = repeats() * std::ssize(metric_names());
    const std::int64_t count = size == 0 ? 1 : std::ssize(subsets) / size;
    THRESHER_CHECK(
        size >= 0 && count * size == std::ssize(subsets) && count * width == std::ssize(metrics),
        "{} positions in subsets of {} with room for {} metrics do not agree", subsets.size(), size,
        metrics.size());
    if (size > 0) check_subsets(subsets, size);
    retrain(subsets, size, count, judged_on, metrics);
}

std::vector<ProxyMetrics> Proxy::evaluate_means(std::span<const std::int32_t> subsets,
                                                std::int64_t size, Part judged_on) const {
    const auto r = static_cast<std::size_t>(repeats());
    std::vector<ProxyMetrics> means(size == 0 ? 1
                                              : subsets.size() / static_cast<std::size_t>(size));
    std::vector<double> metrics(means.size() * r * kProxyMetrics);
    evaluate(subsets, size, judged_on, metrics);
    auto value = metrics.begin();
    for (ProxyMetrics& mean : means) {
        for (std::size_t i = 0; i < r; ++i) {
            for (double& sum : mean) sum += *value++;
        }
        for (double& sum : mean) sum /= static_cast<double>(r);
    }
    return means;
}

void Proxy::evaluate_mean(std::span<const std::int32_t> subsets, std::int64_t size, Part judged_on,
                          std::size_t metric, std::span<double> values) const {
    const auto means = evaluate_means(subsets, size, judged_on);
    THRESHER_CHECK(means.size() == values.size(), "{} subsets with room for {} values do not agree",
                   means.size(), values.size());
    for (std::size_t q = 0; q < values.size(); ++q) values[q] = means[q][metric];
}

}  // namespace thresher
