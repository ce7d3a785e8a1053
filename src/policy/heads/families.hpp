#pragma once

// The functions that the table of heads names; each family in a file of its own.

#include "src/policy/heads/heads.hpp"

namespace thresher {

#define THRESHER_HEAD(name)                                                                      \
    void run_##name(const Policy&, const CandidateSet&, const Draw&, Rollouts&);                 \
    void add_##name##_gradient(const Policy&, const CandidateSet&, const Draw&, const Rollouts&, \
                               const GradientWeights&, std::span<float>)

THRESHER_HEAD(walk);
THRESHER_HEAD(label_or_not);
THRESHER_HEAD(sequential);
THRESHER_HEAD(batch);
THRESHER_HEAD(plackett_luce);

#undef THRESHER_HEAD

/// The key of one random number: of a rollout, and its step or candidate.
inline std::int64_t draw_id(std::int64_t rollout, std::int64_t entry) {
    return rollout * (std::int64_t{1} << 32) + entry;
}

}  // namespace thresher
