#pragma once

// Rewards of episodes from the metrics of their batches.

#include <span>
#include <string_view>
#include <vector>

namespace thresher {

struct RewardShaping {
    std::string_view name, description;
    /// From the metrics of K batches, that of the labelled set alone, and a threshold: [K].
    std::vector<double> (*shape)(std::span<const double> metrics, double before, double threshold);
};

const std::vector<RewardShaping>& reward_shapings();

/// Throws UsageError, listing the known ones.
const RewardShaping& find_reward_shaping(std::string_view name);

}  // namespace thresher
