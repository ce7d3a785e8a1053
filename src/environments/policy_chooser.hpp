#pragma once

// A trained policy as one of those who choose the batches of a game.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "src/environments/choosers.hpp"
#include "src/policy/network/policy.hpp"

namespace thresher {

/// The batch of `b` candidates, in pick order, that the policy labels next: of those not picked
/// yet, as the learner of all that is labelled sees them. The likeliest of heads that have one, a
/// draw keyed by seed and round of the others. Throws UsageError where it reads other features.
/// Local.
std::vector<std::int32_t> choose_by_policy(const Policy& policy,
                                           std::span<const std::string> feature_kinds,
                                           const Situation& situation, std::int64_t b);

}  // namespace thresher
