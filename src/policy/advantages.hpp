#pragma once

// What the reward of a rollout counts for: reward less a baseline, in units of the rewards'
// standard deviation over the rollouts. Adding a baseline is a function and a line in the table.

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "src/base/spread.hpp"

namespace thresher {

struct Baseline {
    std::string_view name, description;
    /// Fills advantages [K, T] from rewards [K] and values [K, T], before they are divided.
    void (*subtract)(std::span<const double> rewards, std::span<const float> values,
                     std::span<double> advantages);
    bool learns_values = false;
};

std::span<const Baseline> baselines();

/// Throws UsageError, listing the known ones.
const Baseline& find_baseline(std::string_view name);

/// False where values that are all the same differ from their mean by rounding alone.
bool differ_by_more_than_rounding(const Spread& spread);

/// [K, T] for rewards [K]. `values` [K, T] are in units of the rewards' standard deviation above
/// their mean. All 0 where the rewards are all the same. Local.
std::vector<float> advantages_of(const Baseline& baseline, std::span<const double> rewards,
                                 std::span<const float> values, std::int64_t steps);

}  // namespace thresher
