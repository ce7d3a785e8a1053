// Heads that meet the candidates one by one: the walk of MAGRAL, which picks exactly b, and the
// stream, which may label any number of them.

#include <limits>

#include "src/policy/heads/families.hpp"
#include "src/policy/heads/laws.hpp"
#include "src/random/philox.hpp"

namespace thresher {

namespace {

std::size_t at(std::int64_t index) { return static_cast<std::size_t>(index); }

/// Log-odds that a candidate is picked, from its logit, the picks made so far, and how many
/// candidates are left, itself included.
using Law = double (*)(double z, std::int64_t taken, std::int64_t left, std::int64_t candidates,
                       std::int64_t picks);

double walk_law(double z, std::int64_t taken, std::int64_t left, std::int64_t, std::int64_t picks) {
    return walk_log_odds(z, picks - taken, left);
}

/// b of N are labelled on average at z = 0. The last is labelled where none was before.
double stream_law(double z, std::int64_t taken, std::int64_t left, std::int64_t candidates,
                  std::int64_t picks) {
    if (left == 1 && taken == 0) return std::numeric_limits<double>::infinity();
    return walk_log_odds(z, picks, candidates);
}

/// [N, K] picked or not, of given batches.
std::vector<std::uint8_t> actions_of(const Rollouts& rollouts, std::int64_t n) {
    const std::int64_t count = std::ssize(rollouts.picks);
    std::vector<std::uint8_t> actions(at(n * count));
    std::vector<std::int64_t> step_of(at(n));
    for (std::int64_t k = 0; k < count; ++k) {
        for (std::int64_t t = 0; t < n; ++t) {
            step_of[at(rollouts.trace.orders[at(k * n + t)])] = t;
        }
        for (const std::int32_t pick : rollouts.picks[at(k)]) {
            actions[at(step_of[at(pick)] * count + k)] = 1;
        }
    }
    return actions;
}

void run(const Policy& policy, const CandidateSet& candidates, const Draw& draw, Rollouts& rollouts,
         Law law) {
    const std::int64_t n = candidates.rows, count = draw.rollouts;
    const bool given = !rollouts.picks.empty();
    if (!given) rollouts.trace.orders = shuffled_orders(n, draw);
    const std::vector<std::uint8_t> chosen =
        given ? actions_of(rollouts, n) : std::vector<std::uint8_t>{};
    rollouts.picks.assign(at(count), {});
    rollouts.pick_log_probabilities.assign(at(count), {});
    rollouts.log_probabilities.assign(at(count), 0.0);
    rollouts.entropies.assign(at(count), 0.0);
    rollouts.steps = n;
    rollouts.values.resize(at(count * n));
    const KeyedRandom random(draw.seed, Stream::policy_action, draw.update);
    const Sweep sweep(policy, candidates, count, draw.picks, draw.truncation);
    sweep.forward(rollouts.trace, [&](std::int64_t step, std::span<const float> logits,
                                      std::span<const float> values,
                                      std::span<std::uint8_t> actions) {
        for (std::int64_t k = 0; k < count; ++k) {
            auto& picks = rollouts.picks[at(k)];
            const double x = law(double{logits[at(k)]}, std::ssize(picks), n - step, n, draw.picks);
            const bool picked = given ? chosen[at(step * count + k)] != 0
                                      : random.uniform(draw_id(k, step)) < action_probability(x);
            actions[at(k)] = picked ? 1 : 0;
            if (picked) {
                picks.push_back(rollouts.trace.orders[at(k * n + step)]);
                rollouts.pick_log_probabilities[at(k)].push_back(
                    static_cast<float>(action_log_probability(x, true)));
            }
            rollouts.log_probabilities[at(k)] += action_log_probability(x, picked);
            rollouts.entropies[at(k)] += action_entropy(x);
            rollouts.values[at(k * n + step)] = values[at(k)];
        }
    });
}

void add_gradient(const Policy& policy, const CandidateSet& candidates, const Draw& draw,
                  const Rollouts& rollouts, const GradientWeights& weights,
                  std::span<float> gradient, Law law) {
    const std::int64_t n = candidates.rows, count = draw.rollouts;
    const double share = 1.0 / static_cast<double>(count);
    std::vector<float> d_logits(at(n * count)), d_values;
    if (!weights.value_errors.empty()) d_values.resize(at(n * count));
    std::vector<std::int64_t> taken(at(count));
    for (std::int64_t step = 0; step < n; ++step) {
        for (std::int64_t k = 0; k < count; ++k) {
            const std::int64_t entry = step * count + k, weight = k * n + step;
            const bool picked = rollouts.trace.actions[at(entry)] != 0;
            const double x = law(double{rollouts.trace.logits[at(entry)]}, taken[at(k)], n - step,
                                 n, draw.picks);
            const double slope = double{weights.advantages[at(weight)]} * action_score(x, picked) +
                                 weights.entropy * action_entropy_slope(x);
            d_logits[at(entry)] = static_cast<float>(share * slope);
            if (!d_values.empty()) {
                d_values[at(entry)] =
                    static_cast<float>(share * double{weights.value_errors[at(weight)]});
            }
            taken[at(k)] += picked ? 1 : 0;
        }
    }
    const Sweep sweep(policy, candidates, count, draw.picks, draw.truncation);
    sweep.backward(rollouts.trace, d_logits, d_values, gradient);
}

}  // namespace

void run_walk(const Policy& policy, const CandidateSet& candidates, const Draw& draw,
              Rollouts& rollouts) {
    run(policy, candidates, draw, rollouts, walk_law);
}

void add_walk_gradient(const Policy& policy, const CandidateSet& candidates, const Draw& draw,
                       const Rollouts& rollouts, const GradientWeights& weights,
                       std::span<float> gradient) {
    add_gradient(policy, candidates, draw, rollouts, weights, gradient, walk_law);
}

void run_label_or_not(const Policy& policy, const CandidateSet& candidates, const Draw& draw,
                      Rollouts& rollouts) {
    run(policy, candidates, draw, rollouts, stream_law);
}

void add_label_or_not_gradient(const Policy& policy, const CandidateSet& candidates,
                               const Draw& draw, const Rollouts& rollouts,
                               const GradientWeights& weights, std::span<float> gradient) {
    add_gradient(policy, candidates, draw, rollouts, weights, gradient, stream_law);
}

}  // namespace thresher
