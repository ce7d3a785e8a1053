#pragma once

// The functions that the table of heads names; each family in a file of its own.

#include "src/policy/heads/heads.hpp"

namespace thresher {

void run_walk(const Policy& policy, const CandidateSet& candidates, const Draw& draw,
              Rollouts& rollouts);
void add_walk_gradient(const Policy& policy, const CandidateSet& candidates, const Draw& draw,
                       const Rollouts& rollouts, const GradientWeights& weights,
                       std::span<float> gradient);

void run_label_or_not(const Policy& policy, const CandidateSet& candidates, const Draw& draw,
                      Rollouts& rollouts);
void add_label_or_not_gradient(const Policy& policy, const CandidateSet& candidates,
                               const Draw& draw, const Rollouts& rollouts,
                               const GradientWeights& weights, std::span<float> gradient);

void run_sequential(const Policy& policy, const CandidateSet& candidates, const Draw& draw,
                    Rollouts& rollouts);
void add_sequential_gradient(const Policy& policy, const CandidateSet& candidates, const Draw& draw,
                             const Rollouts& rollouts, const GradientWeights& weights,
                             std::span<float> gradient);

void run_batch(const Policy& policy, const CandidateSet& candidates, const Draw& draw,
               Rollouts& rollouts);
void run_plackett_luce(const Policy& policy, const CandidateSet& candidates, const Draw& draw,
                       Rollouts& rollouts);
/// Of both: they pick from the rest by one output each, or by the same one.
void add_batch_gradient(const Policy& policy, const CandidateSet& candidates, const Draw& draw,
                        const Rollouts& rollouts, const GradientWeights& weights,
                        std::span<float> gradient);

/// The key of one random number: of a rollout, and its step or candidate.
inline std::int64_t draw_id(std::int64_t rollout, std::int64_t entry) {
    return rollout * (std::int64_t{1} << 32) + entry;
}

}  // namespace thresher
