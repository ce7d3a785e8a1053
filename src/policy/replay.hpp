#pragma once

// Rollouts of earlier updates, used again: their gradients count in proportion to how likely the
// policy draws them now over how likely it did then, so that on average they are those of fresh
// draws. The ratio is truncated, which bounds their variance at the price of a bias.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "src/policy/heads/heads.hpp"
#include "src/training/train_state.hpp"

namespace thresher {

/// Largest ratio.
inline constexpr double kMostImportance = 2.0;

/// The last rollouts in one environment.
struct ReplayMemory {
    std::vector<std::vector<std::int32_t>> picks;  ///< [M]
    std::vector<std::int32_t> orders;              ///< [M, N] of heads that walk, or empty
    std::vector<double> log_probabilities;         ///< [M], when they were drawn
    std::vector<double> metrics;                   ///< [M]

    std::int64_t size() const { return std::ssize(picks); }
    /// Adds rollouts, and forgets the oldest beyond `capacity`.
    void keep(const Rollouts& rollouts, std::span<const double> found, std::int64_t capacity);

    /// Under these names, behind `prefix`. The second throws FileError where they are missing.
    void put_into(TrainState& state, const std::string& prefix) const;
    void take_from(const TrainState& state, const std::string& prefix);
};

/// The rollouts of the memory as the policy would draw them now. Local.
Rollouts follow_memory(const Policy& policy, const CandidateSet& candidates, Draw draw,
                       const ReplayMemory& memory);

/// Multiplies advantages [M, T] by the truncated ratios. Local.
void weigh_by_importance(const ReplayMemory& memory, const Rollouts& now,
                         std::span<float> advantages);

}  // namespace thresher
