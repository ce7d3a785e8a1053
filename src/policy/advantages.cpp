#include "src/policy/advantages.hpp"

#include <fmt/ranges.h>

#include <cmath>

#include "src/base/check.hpp"

namespace thresher {

namespace {

/// Fills advantages [K, T] with body(rollout, step).
template <class Body>
void fill(std::span<const double> rewards, std::span<double> advantages, const Body& body) {
    const std::size_t steps = advantages.size() / rewards.size();
    for (std::size_t i = 0; i < advantages.size(); ++i) advantages[i] = body(i / steps, i);
}

void subtract_nothing(std::span<const double> rewards, std::span<const float>,
                      std::span<double> advantages) {
    fill(rewards, advantages, [&](std::size_t k, std::size_t) { return rewards[k]; });
}

void subtract_mean(std::span<const double> rewards, std::span<const float>,
                   std::span<double> advantages) {
    const double mean = spread_of(rewards).mean;
    fill(rewards, advantages, [&](std::size_t k, std::size_t) { return rewards[k] - mean; });
}

/// The mean of the others: R_k - (K mean - R_k) / (K - 1).
void subtract_others(std::span<const double> rewards, std::span<const float>,
                     std::span<double> advantages) {
    const auto count = static_cast<double>(rewards.size());
    const double mean = spread_of(rewards).mean;
    const double factor = rewards.size() > 1 ? count / (count - 1.0) : 0.0;
    fill(rewards, advantages,
         [&](std::size_t k, std::size_t) { return factor * (rewards[k] - mean); });
}

void subtract_values(std::span<const double> rewards, std::span<const float> values,
                     std::span<double> advantages) {
    const Spread spread = spread_of(rewards);
    fill(rewards, advantages, [&](std::size_t k, std::size_t entry) {
        return rewards[k] - spread.mean - spread.deviation * double{values[entry]};
    });
}

constexpr Baseline kBaselines[]{
    {"none", "the reward as it is", subtract_nothing},
    {"mean", "the mean reward of the rollouts", subtract_mean},
    {"leave-one-out", "the mean reward of the other rollouts", subtract_others},
    {"value", "what the policy's own state foretells, learned beside it", subtract_values, true}};

}  // namespace

std::span<const Baseline> baselines() { return kBaselines; }

const Baseline& find_baseline(std::string_view name) {
    std::vector<std::string_view> known;
    for (const Baseline& baseline : kBaselines) {
        if (baseline.name == name) return baseline;
        known.push_back(baseline.name);
    }
    fail<UsageError>("unknown baseline \"{}\"; known: {}", name, fmt::join(known, ", "));
}

bool differ_by_more_than_rounding(const Spread& spread) {
    return spread.deviation > 1e-12 * std::abs(spread.mean);
}

std::vector<float> advantages_of(const Baseline& baseline, std::span<const double> rewards,
                                 std::span<const float> values, std::int64_t steps) {
    std::vector<double> differences(rewards.size() * static_cast<std::size_t>(steps));
    baseline.subtract(rewards, values, differences);
    const Spread spread = spread_of(rewards);
    std::vector<float> advantages(differences.size());
    if (!differ_by_more_than_rounding(spread)) return advantages;  // they teach nothing
    for (std::size_t i = 0; i < advantages.size(); ++i) {
        advantages[i] = static_cast<float>(differences[i] / spread.deviation);
    }
    return advantages;
}

}  // namespace thresher
