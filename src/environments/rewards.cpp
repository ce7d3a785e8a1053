#include "src/environments/rewards.hpp"

#include <fmt/ranges.h>

#include <cmath>

#include "src/base/check.hpp"
#include "src/base/spread.hpp"

namespace thresher {

namespace {

std::vector<double> less(std::span<const double> metrics, double by) {
    std::vector<double> rewards(metrics.begin(), metrics.end());
    for (double& reward : rewards) reward -= by;
    return rewards;
}

std::vector<double> delta(std::span<const double> metrics, double before, double) {
    return less(metrics, before);
}

std::vector<double> centred(std::span<const double> metrics, double, double) {
    return less(metrics, spread_of(metrics).mean);
}

std::vector<double> standardised(std::span<const double> metrics, double, double) {
    const auto [mean, deviation] = spread_of(metrics);
    std::vector<double> rewards = less(metrics, mean);
    for (double& reward : rewards) reward = deviation > 0.0 ? reward / deviation : 0.0;
    return rewards;
}

std::vector<double> beyond_threshold(std::span<const double> metrics, double before,
                                     double threshold) {
    return less(metrics, before + threshold);
}

}  // namespace

const std::vector<RewardShaping>& reward_shapings() {
    static const std::vector<RewardShaping> table{
        {"delta", "change of the metric", delta},
        {"centred", "metric less the mean over the episodes", centred},
        {"standardised", "the same in standard deviations of the episodes; 0 where all are equal",
         standardised},
        {"threshold", "change of the metric less a threshold", beyond_threshold},
    };
    return table;
}

const RewardShaping& find_reward_shaping(std::string_view name) {
    std::vector<std::string_view> known;
    for (const RewardShaping& shaping : reward_shapings()) {
        if (shaping.name == name) return shaping;
        known.push_back(shaping.name);
    }
    fail<UsageError>("unknown reward \"{}\"; known: {}", name, fmt::join(known, ", "));
}

}  // namespace thresher
