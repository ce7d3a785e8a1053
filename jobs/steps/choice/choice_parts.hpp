#pragma once

// The ways to choose that choice.cpp tells apart, and what they share.

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "jobs/steps/choice/choice.hpp"

namespace thresher::jobs {

/// What `pick` picks, with what the selection cost and everything that was set apart. Collective.
Choice timed_choice(Job& job, const ShardScores& shard, const std::function<Selection()>& pick);

/// Marks all own rows but the M best by the scores, and but those marked already. Collective.
std::vector<std::uint8_t> exclude_all_but(Job& job, const ShardScores& shard,
                                          const std::string& acquisition, std::int64_t candidates,
                                          std::span<const std::uint8_t> excluded);

JointOptions joint_settings(const ChoiceOptions& options, std::int64_t k);

/// choose() of a joint acquisition, of a policy, and with a share for each class.
Choice choose_jointly(Job& job, PredictionStream& stream, const ChoiceOptions& options,
                      const JointAcquisition& acquisition, std::int64_t k, std::uint32_t round,
                      std::span<const std::uint8_t> excluded, const Comparisons& comparisons);
Choice choose_by_policy(Job& job, PredictionStream& stream, const ChoiceOptions& options,
                        std::int64_t k, std::uint32_t round, std::span<const std::uint8_t> excluded,
                        const Comparisons& comparisons, const io::TrainedPolicy* agent);
Choice choose_balanced(Job& job, PredictionStream& stream, const ChoiceOptions& options,
                       const std::string& acquisition, std::int64_t k, std::uint32_t round,
                       std::span<const std::uint8_t> excluded, const Comparisons& comparisons);

}  // namespace thresher::jobs
