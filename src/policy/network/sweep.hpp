#pragma once

// The cell walks over all candidates once, K rollouts side by side, each in an order of its own.
// Forward, nothing is kept of a step but what was done and how near a pick was; backward, the steps
// are made again, a stretch at a time, and gradients flow through the whole walk or, where it is
// long, through so many steps at most. So memory is linear in candidates.

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "src/policy/network/policy.hpp"

namespace thresher {

/// What happened in the rollouts of a sweep.
struct SweepTrace {
    std::vector<std::int32_t> orders;   ///< [K, N]: the candidate each rollout meets at each step
    std::vector<std::uint8_t> actions;  ///< [N, K]: whether it was picked
    std::vector<float> nearness;        ///< [N, K]: its distance to the nearest pick before
    std::vector<float> logits;          ///< [N, K, S]
    std::vector<float> hidden, cells;   ///< [stretches, K, H] as each stretch begins
    std::vector<std::int32_t> taken;    ///< [stretches, K]: picks until then
};

class Sweep {
  public:
    /// `budget`: picks that make up a whole one. `truncation` > 0: gradients flow through so many
    /// steps at most. Policy and candidates must outlive it.
    Sweep(const Policy& policy, const CandidateSet& candidates, std::int64_t rollouts,
          std::int64_t budget, std::int64_t truncation);

    /// Told the step, the logits [K, S] and the values [K] of what each rollout meets; fills the
    /// actions [K], 1 = picked.
    using Decide = std::function<void(std::int64_t step, std::span<const float> logits,
                                      std::span<const float> values, std::span<std::uint8_t>)>;

    /// Walks in the orders of the trace and fills the rest of it.
    void forward(SweepTrace& trace, const Decide& decide) const;

    /// Adds to `gradient` (of all parameters) that of what has the gradients `d_logits` [N, K, S]
    /// by logits and `d_values` [N, K], or empty, by values. The trace is of this policy's forward.
    void backward(const SweepTrace& trace, std::span<const float> d_logits,
                  std::span<const float> d_values, std::span<float> gradient) const;

  private:
    struct Stretch;

    /// Gates [K, 4 H] before the recurrent part; `step_inputs` [K, 4] on the way.
    void gather_inputs(const SweepTrace& trace, std::int64_t step,
                       std::span<const std::int32_t> taken, std::span<float> step_inputs,
                       std::span<float> gates) const;
    void run_again(const SweepTrace& trace, std::int64_t part, Stretch& stretch) const;

    const Policy& policy_;
    const CandidateSet& candidates_;
    PolicyParts<const float> parts_;
    std::int64_t rollouts_, budget_, stretch_steps_;
    bool truncate_;
    std::vector<float> projection_;  ///< [N, 4 H]
};

}  // namespace thresher
