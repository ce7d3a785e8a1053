#pragma once

// Heads turn the outputs of the policy's cell into a batch. Adding one is two functions and a line
// in the table of heads.cpp. Every head begins as the uniform law, as outputs begin at 0.

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "src/policy/network/policy.hpp"
#include "src/policy/network/sweep.hpp"

namespace thresher {

struct Draw {
    std::int64_t rollouts = 1;  ///< K
    std::int64_t picks = 1;     ///< b of a batch; label-or-not: of its mean
    std::uint64_t seed = 0;     ///< with update and rollout, the key of every random number
    std::uint32_t update = 0;
    bool likeliest = false;       ///< softmaxes: the most probable instead of a sample
    std::int64_t truncation = 0;  ///< > 0: gradients flow through so many steps of a walk at most
};

/// Batches that a policy drew, and what their gradient needs.
struct Rollouts {
    std::vector<std::vector<std::int32_t>> picks;            ///< [K], in the order of picking
    std::vector<std::vector<float>> pick_log_probabilities;  ///< [K], of each pick when it was made
    std::vector<double> log_probabilities;                   ///< [K], of the picks in this order
    std::vector<double> entropies;  ///< [K], of the laws of all steps, summed
    std::int64_t steps = 0;         ///< T: those of Head::steps
    std::vector<float> values;      ///< [K, T]: the value before each step
    SweepTrace trace;               ///< of heads that walk
};

/// What the gradient of a rollout's log-probability counts for.
struct GradientWeights {
    std::span<const float> advantages;    ///< [K, T], of the log-probability of each step
    double entropy = 0.0;                 ///< of the entropies of all steps
    std::span<const float> value_errors;  ///< [K, T]: standardised reward less value; or empty
};

struct Head {
    std::string_view name, description, formula, source;
    /// Outputs S of a candidate for b picks, and decisions T for N candidates.
    std::int64_t (*outputs)(std::int64_t picks);
    std::int64_t (*steps)(std::int64_t candidates, std::int64_t picks);
    /// Draws; where `rollouts.picks` is not empty, takes those as drawn, walks in the orders of the
    /// trace, and fills the rest. Local.
    void (*run)(const Policy& policy, const CandidateSet& candidates, const Draw& draw,
                Rollouts& rollouts);
    /// Adds the gradient of the mean over rollouts of sum_t (advantage log p + entropy H - value
    /// error^2 / 2), the advantages taken as given. Local.
    void (*add_gradient)(const Policy& policy, const CandidateSet& candidates, const Draw& draw,
                         const Rollouts& rollouts, const GradientWeights& weights,
                         std::span<float> gradient);
    /// Floating-point operations of one rollout of b picks among N candidates, but for what
    /// rollouts share.
    double (*flops)(const PolicyShape& shape, std::int64_t candidates, std::int64_t picks);
    bool exact = true;       ///< every batch has exactly b picks
    bool likeliest = false;  ///< has a most probable batch, picked greedily
    bool walks = true;       ///< meets all candidates in an order; Draw::truncation is for these
};

std::span<const Head> heads();

/// Throws UsageError, listing the known ones.
const Head& find_head(std::string_view name);

/// Throws UsageError unless 1 <= b <= N and the policy has outputs enough. Local.
void check_draw(const Head& head, const Policy& policy, const CandidateSet& candidates,
                std::int64_t picks);

/// The batches a policy draws from candidates. Throws UsageError as check_draw. Local.
Rollouts draw_batches(const Policy& policy, const CandidateSet& candidates, const Draw& draw);

/// Log-probabilities, entropies and values of given batches: `rollouts` has picks, and orders where
/// the head walks. Local.
void follow_batches(const Policy& policy, const CandidateSet& candidates, const Draw& draw,
                    Rollouts& rollouts);

/// Floating-point operations of the products of drawing or following batches, a multiplication and
/// its sum being two. A gradient has three times as many: the steps again, and twice as many back.
double flops_of(const Policy& policy, const CandidateSet& candidates, const Draw& draw);

/// [K, N]: for each rollout all candidates in an order keyed by (seed, update, rollout).
std::vector<std::int32_t> shuffled_orders(std::int64_t candidates, const Draw& draw);
/// [K, b]: the first of each of these orders. Throws UsageError unless 1 <= b <= N.
std::vector<std::int32_t> random_batches(std::int64_t candidates, const Draw& draw);

}  // namespace thresher
