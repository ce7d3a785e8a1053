// Heads that look at all candidates before the first pick: one walk gives every candidate its
// outputs; then the picks are made at once, without replacement. plackett-luce has one output a
// candidate for all picks, batch one for each.

#include <algorithm>
#include <numeric>

#include "src/policy/heads/families.hpp"
#include "src/policy/heads/laws.hpp"
#include "src/random/philox.hpp"

namespace thresher {

namespace {

std::size_t at(std::int64_t index) { return static_cast<std::size_t>(index); }

/// The logits of one rollout by candidate and output, from the order in which it met them.
class Outputs {
  public:
    Outputs(const SweepTrace& trace, std::int64_t rollout, std::int64_t rollouts, std::int64_t n,
            std::int64_t outputs)
        : logits_(at(n * outputs)), places_(at(n)), n_(n) {
        for (std::int64_t step = 0; step < n; ++step) {
            const std::int64_t candidate = trace.orders[at(rollout * n + step)];
            places_[at(candidate)] = (step * rollouts + rollout) * outputs;
            for (std::int64_t s = 0; s < outputs; ++s) {
                logits_[at(s * n + candidate)] = trace.logits[at(places_[at(candidate)] + s)];
            }
        }
    }

    /// [N], of pick `pick`, where there is one output a pick.
    std::span<const float> of(std::int64_t pick) const {
        const std::int64_t outputs = std::ssize(logits_) / n_;
        return std::span(logits_).subspan(at((outputs == 1 ? 0 : pick) * n_), at(n_));
    }
    /// Where the first output of a candidate is in the trace.
    std::int64_t place(std::int64_t candidate) const { return places_[at(candidate)]; }

  private:
    std::vector<float> logits_;  ///< [S, N]
    std::vector<std::int64_t> places_;
    std::int64_t n_;
};

/// The largest logit + noise that is not taken: a sample of the softmax over the rest.
std::int32_t draw_pick(std::span<const float> logits, std::span<const std::uint8_t> taken,
                       std::span<const double> noise) {
    std::int32_t best = -1;
    double highest = 0.0;
    for (std::size_t i = 0; i < logits.size(); ++i) {
        const double key = double{logits[i]} + (noise.empty() ? 0.0 : noise[i]);
        if (taken[i] != 0 || (best >= 0 && key <= highest)) continue;
        best = static_cast<std::int32_t>(i);
        highest = key;
    }
    return best;
}

/// `fresh_noise`: new noise for each pick; otherwise the picks are the top of one order.
void run(const Policy& policy, const CandidateSet& candidates, const Draw& draw, Rollouts& rollouts,
         bool fresh_noise) {
    const std::int64_t n = candidates.rows, count = draw.rollouts;
    const bool given = !rollouts.picks.empty();
    if (!given) {
        rollouts.trace.orders = shuffled_orders(n, draw);
        rollouts.picks.assign(at(count), {});
    }
    rollouts.pick_log_probabilities.assign(at(count), {});
    rollouts.log_probabilities.assign(at(count), 0.0);
    rollouts.entropies.assign(at(count), 0.0);
    rollouts.steps = draw.picks;
    rollouts.values.assign(at(count * draw.picks), policy.parts().value_bias[0]);
    const Sweep sweep(policy, candidates, count, draw.picks, draw.truncation);
    sweep.forward(rollouts.trace, [](auto, auto, auto, auto) {});

    const KeyedRandom random(draw.seed, Stream::policy_action, draw.update);
    std::vector<double> p(at(n)), noise;
    for (std::int64_t k = 0; k < count; ++k) {
        const Outputs outputs(rollouts.trace, k, count, n, policy.shape.outputs);
        std::vector<std::uint8_t> taken(at(n));
        for (std::int64_t pick = 0; pick < draw.picks; ++pick) {
            const std::span<const float> logits = outputs.of(pick);
            if (!given) {
                if (!draw.likeliest && (fresh_noise || pick == 0)) {
                    noise.resize(at(n));
                    for (std::int64_t i = 0; i < n; ++i) {
                        noise[at(i)] =
                            random.gumbel(draw_id(k, i), static_cast<std::uint16_t>(pick));
                    }
                }
                rollouts.picks[at(k)].push_back(draw_pick(logits, taken, noise));
            }
            const std::int32_t chosen = rollouts.picks[at(k)][at(pick)];
            const SoftmaxLaw law = softmax_over_rest(logits, taken, p);
            const double log_p = double{logits[at(chosen)]} - law.log_sum;
            rollouts.pick_log_probabilities[at(k)].push_back(static_cast<float>(log_p));
            rollouts.log_probabilities[at(k)] += log_p;
            rollouts.entropies[at(k)] += law.entropy;
            taken[at(chosen)] = 1;
        }
    }
}

}  // namespace

void run_batch(const Policy& policy, const CandidateSet& candidates, const Draw& draw,
               Rollouts& rollouts) {
    run(policy, candidates, draw, rollouts, true);
}

void run_plackett_luce(const Policy& policy, const CandidateSet& candidates, const Draw& draw,
                       Rollouts& rollouts) {
    run(policy, candidates, draw, rollouts, false);
}

void add_batch_gradient(const Policy& policy, const CandidateSet& candidates, const Draw& draw,
                        const Rollouts& rollouts, const GradientWeights& weights,
                        std::span<float> gradient) {
    const std::int64_t n = candidates.rows, count = draw.rollouts, s = policy.shape.outputs;
    const double share = 1.0 / static_cast<double>(count);
    std::vector<float> d_logits(at(n * count * s));
    std::vector<double> p(at(n));
    for (std::int64_t k = 0; k < count; ++k) {
        const Outputs outputs(rollouts.trace, k, count, n, s);
        std::vector<std::uint8_t> taken(at(n));
        for (std::int64_t pick = 0; pick < draw.picks; ++pick) {
            const SoftmaxLaw law = softmax_over_rest(outputs.of(pick), taken, p);
            const std::int64_t chosen = rollouts.picks[at(k)][at(pick)];
            const double advantage = double{weights.advantages[at(k * draw.picks + pick)]};
            for (std::int64_t i = 0; i < n; ++i) {
                if (taken[at(i)] != 0) continue;
                const double slope = advantage * ((i == chosen ? 1.0 : 0.0) - p[at(i)]) +
                                     weights.entropy * softmax_entropy_slope(p[at(i)], law.entropy);
                d_logits[at(outputs.place(i) + (s == 1 ? 0 : pick))] +=
                    static_cast<float>(share * slope);
            }
            taken[at(chosen)] = 1;
        }
    }
    const PolicyParts<float> d = parts_of(policy.shape, gradient);
    for (const float error : weights.value_errors) {
        d.value_bias[0] += static_cast<float>(share * double{error});
    }
    const Sweep sweep(policy, candidates, count, draw.picks, draw.truncation);
    sweep.backward(rollouts.trace, d_logits, {}, gradient);
}

}  // namespace thresher
