#pragma once

// Rewards of episodes from the metrics of their batches, and how those are spread.

#include <span>
#include <string_view>
#include <vector>

namespace thresher {

struct Moments {
    double mean = 0.0, deviation = 0.0;
};

/// Of values [n], n >= 1; the deviation is that of the values themselves, by n.
Moments moments(std::span<const double> values);

struct RewardShaping {
    std::string_view name, description;
    /// From the metrics of K batches, that of the labelled set alone, and a threshold: [K].
    std::vector<double> (*shape)(std::span<const double> metrics, double before, double threshold);
};

const std::vector<RewardShaping>& reward_shapings();

/// Throws UsageError, listing the known ones.
const RewardShaping& find_reward_shaping(std::string_view name);

}  // namespace thresher
