// The head that scores every candidate again after each pick. From the state after the picks so
// far, the cell tries a step with each candidate that is left, which now knows how far it is from
// the picks; the output of that step is its logit, and the step of the one that is picked becomes
// the state.

#include <algorithm>
#include <cmath>
#include <tuple>

#include "src/policy/heads/families.hpp"
#include "src/policy/heads/laws.hpp"
#include "src/policy/network/lstm.hpp"
#include "src/random/philox.hpp"

namespace thresher {

namespace {

constexpr std::int64_t kStepInputs = std::tuple_size_v<StepInputs>;

std::size_t at(std::int64_t index) { return static_cast<std::size_t>(index); }

/// What trying candidates came to: rows in the order of `left`, which has those that are not taken
/// where all were tried.
struct Trial {
    std::vector<std::int32_t> left;
    std::vector<float> step_inputs, gates, cells, outputs;
    std::vector<float> logits;  ///< of all candidates; 0 where taken
    std::vector<double> p;      ///< of all candidates
    SoftmaxLaw law;
};

/// One rollout: the state before every pick, and the picks.
class Walker {
  public:
    Walker(const Policy& policy, const CandidateSet& candidates, std::span<const float> projection,
           std::int64_t picks)
        : policy_(policy),
          parts_(policy.parts()),
          candidates_(candidates),
          projection_(projection),
          hidden_size_(policy.shape.hidden),
          budget_(picks),
          nearness_(candidates),
          taken_(at(candidates.rows)),
          hidden_(at(hidden_size_)),
          cells_(at(hidden_size_)) {}

    const std::vector<float>& hidden() const { return hidden_; }
    const std::vector<float>& cells() const { return cells_; }
    const std::vector<std::uint8_t>& taken() const { return taken_; }
    const std::vector<std::int32_t>& picks() const { return picks_; }

    float value() const {
        float sum = 0.0F;
        dot_rows(hidden_, parts_.value, std::span(&sum, 1), 1, hidden_size_);
        return sum + parts_.value_bias[0];
    }

    void try_all(Trial& trial) const {
        trial.left.clear();
        for (std::int64_t i = 0; i < candidates_.rows; ++i) {
            if (taken_[at(i)] == 0) trial.left.push_back(static_cast<std::int32_t>(i));
        }
        try_left(trial);
        trial.p.resize(at(candidates_.rows));
        trial.law = softmax_over_rest(trial.logits, taken_, trial.p);
    }

    void pick(const Trial& trial, std::int32_t candidate) {
        const auto row =
            std::lower_bound(trial.left.begin(), trial.left.end(), candidate) - trial.left.begin();
        std::copy_n(trial.outputs.begin() + row * hidden_size_, hidden_size_, hidden_.begin());
        std::copy_n(trial.cells.begin() + row * hidden_size_, hidden_size_, cells_.begin());
        picks_.push_back(candidate);
        taken_[at(candidate)] = 1;
        nearness_.pick(candidate);
    }

    /// As after trying all: what one comes to does not depend on the others.
    void pick_again(Trial& trial, std::int32_t candidate) {
        trial.left.assign(1, candidate);
        try_left(trial);
        pick(trial, candidate);
    }

  private:
    void try_left(Trial& trial) const {
        const std::int64_t n = candidates_.rows, gates = 4 * hidden_size_;
        const std::int64_t rows = std::ssize(trial.left);
        trial.step_inputs.resize(at(rows * kStepInputs));
        trial.gates.resize(at(rows * gates));
        trial.cells.resize(at(rows * hidden_size_));
        trial.outputs.resize(at(rows * hidden_size_));
        trial.logits.assign(at(n), 0.0F);
        std::vector<float> shared(at(gates));  // what the state adds to the gates of all
        add_product(hidden_, parts_.recurrent, shared, 1, hidden_size_, gates);
        const double left = 1.0 - static_cast<double>(picks_.size()) / static_cast<double>(budget_);
        for (std::int64_t row = 0; row < rows; ++row) {
            const std::int32_t i = trial.left[at(row)];
            const StepInputs now = make_step_inputs(nearness_[i], !picks_.empty(), left);
            std::copy(now.begin(), now.end(), trial.step_inputs.begin() + row * kStepInputs);
            const float* projected = projection_.data() + i * gates;
            float* gate = trial.gates.data() + row * gates;
            for (std::int64_t unit = 0; unit < gates; ++unit) {
                gate[unit] = projected[unit] + shared[at(unit)];
            }
        }
        add_product(trial.step_inputs, parts_.step, trial.gates, rows, kStepInputs, gates);
        lstm_cells(hidden_size_, trial.gates, cells_, trial.cells, trial.outputs);
        std::vector<float> outputs(at(rows));
        dot_rows(trial.outputs, parts_.output, outputs, 1, hidden_size_);
        for (std::int64_t row = 0; row < rows; ++row) {
            trial.logits[at(trial.left[at(row)])] =
                policy_.bounded(outputs[at(row)] + parts_.output_bias[0]);
        }
    }

    const Policy& policy_;
    PolicyParts<const float> parts_;
    const CandidateSet& candidates_;
    std::span<const float> projection_;
    std::int64_t hidden_size_, budget_;
    Nearness nearness_;
    std::vector<std::uint8_t> taken_;
    std::vector<float> hidden_, cells_;
    std::vector<std::int32_t> picks_;
};

/// Gradients of one rollout, from its last pick to its first, added to those of all.
class Backward {
  public:
    Backward(const Policy& policy, std::span<const float> back, PolicyParts<float> d,
             std::vector<float>& d_projection)
        : policy_(policy),
          parts_(policy.parts()),
          back_(back),
          d_(d),
          d_projection_(d_projection),
          hidden_size_(policy.shape.hidden),
          d_hidden_(at(hidden_size_)),
          d_cells_(at(hidden_size_)) {}

    /// `walker` is as it was before the pick; `d_logits` [N].
    void step(const Walker& walker, Trial& trial, std::int32_t picked,
              std::span<const float> d_logits, float d_value) {
        const std::int64_t h = hidden_size_, gates = 4 * h, rows = std::ssize(trial.left);
        std::vector<float> d_output(at(rows)), d_outputs(at(rows * h)), d_cells(at(rows * h));
        for (std::int64_t row = 0; row < rows; ++row) {
            const std::int32_t i = trial.left[at(row)];
            d_output[at(row)] = d_logits[at(i)] * policy_.slope(trial.logits[at(i)]);
            d_.output_bias[0] += d_output[at(row)];
            if (i != picked) continue;
            std::copy(d_hidden_.begin(), d_hidden_.end(), d_outputs.begin() + row * h);
            std::copy(d_cells_.begin(), d_cells_.end(), d_cells.begin() + row * h);
        }
        add_transposed_product(d_output, trial.outputs, d_.output, rows, 1, h);
        add_product(d_output, parts_.output, d_outputs, rows, 1, h);
        lstm_cells_backward(h, trial.gates, walker.cells(), trial.cells, d_outputs, d_cells);
        add_transposed_product(trial.step_inputs, trial.gates, d_.step, rows, kStepInputs, gates);
        std::vector<float> d_shared(at(gates));
        std::fill(d_cells_.begin(), d_cells_.end(), 0.0F);
        for (std::int64_t row = 0; row < rows; ++row) {
            float* to = d_projection_.data() + trial.left[at(row)] * gates;
            const float* from = trial.gates.data() + row * gates;
            for (std::int64_t unit = 0; unit < gates; ++unit) {
                to[unit] += from[unit];
                d_shared[at(unit)] += from[unit];
            }
            for (std::int64_t unit = 0; unit < h; ++unit) {
                d_cells_[at(unit)] += d_cells[at(row * h + unit)];
            }
        }
        add_transposed_product(walker.hidden(), d_shared, d_.recurrent, 1, h, gates);
        std::fill(d_hidden_.begin(), d_hidden_.end(), 0.0F);
        add_product(d_shared, back_, d_hidden_, 1, gates, h);
        add_transposed_product(std::span(&d_value, 1), walker.hidden(), d_.value, 1, 1, h);
        d_.value_bias[0] += d_value;
    }

  private:
    const Policy& policy_;
    PolicyParts<const float> parts_;
    std::span<const float> back_;
    PolicyParts<float> d_;
    std::vector<float>& d_projection_;
    std::int64_t hidden_size_;
    std::vector<float> d_hidden_, d_cells_;
};

}  // namespace

void run_sequential(const Policy& policy, const CandidateSet& candidates, const Draw& draw,
                    Rollouts& rollouts) {
    const std::int64_t count = draw.rollouts;
    const bool given = !rollouts.picks.empty();
    if (!given) rollouts.picks.assign(at(count), {});
    rollouts.pick_log_probabilities.assign(at(count), {});
    rollouts.log_probabilities.assign(at(count), 0.0);
    rollouts.entropies.assign(at(count), 0.0);
    rollouts.steps = draw.picks;
    rollouts.values.resize(at(count * draw.picks));
    const std::vector<float> projection = project_features(policy, candidates);
    const KeyedRandom random(draw.seed, Stream::policy_action, draw.update);
    Trial trial;
    for (std::int64_t k = 0; k < count; ++k) {
        Walker walker(policy, candidates, projection, draw.picks);
        for (std::int64_t step = 0; step < draw.picks; ++step) {
            rollouts.values[at(k * draw.picks + step)] = walker.value();
            walker.try_all(trial);
            const std::int32_t chosen = given ? rollouts.picks[at(k)][at(step)]
                                        : draw.likeliest
                                            ? likeliest(trial.p)
                                            : entry_at(trial.p, random.uniform(draw_id(k, step)));
            const double log_p = double{trial.logits[at(chosen)]} - trial.law.log_sum;
            rollouts.pick_log_probabilities[at(k)].push_back(static_cast<float>(log_p));
            rollouts.log_probabilities[at(k)] += log_p;
            rollouts.entropies[at(k)] += trial.law.entropy;
            walker.pick(trial, chosen);
        }
        if (!given) rollouts.picks[at(k)] = walker.picks();
    }
}

void add_sequential_gradient(const Policy& policy, const CandidateSet& candidates, const Draw& draw,
                             const Rollouts& rollouts, const GradientWeights& weights,
                             std::span<float> gradient) {
    const std::int64_t n = candidates.rows, steps = draw.picks;
    const double share = 1.0 / static_cast<double>(draw.rollouts);
    const std::vector<float> projection = project_features(policy, candidates);
    const std::vector<float> back = transposed(policy.parts().recurrent, 4 * policy.shape.hidden);
    std::vector<float> d_projection(projection.size()), d_logits(at(n));
    const PolicyParts<float> d = parts_of(policy.shape, gradient);
    // Of one step alone: a trial holds some hundred bytes of each candidate. Backward, the trials
    // are made again from the states before them, of 9 bytes a candidate.
    Trial trial;
    for (std::int64_t k = 0; k < draw.rollouts; ++k) {
        const std::vector<std::int32_t>& picks = rollouts.picks[at(k)];
        std::vector<Walker> states;  // before each pick
        states.emplace_back(policy, candidates, projection, steps);
        for (std::int64_t step = 0; step + 1 < steps; ++step) {
            states.push_back(states.back());
            states.back().pick_again(trial, picks[at(step)]);
        }
        Backward backward(policy, back, d, d_projection);
        for (std::int64_t step = steps - 1; step >= 0; --step) {
            const Walker& walker = states[at(step)];
            walker.try_all(trial);
            const std::int64_t chosen = picks[at(step)];
            const double advantage = double{weights.advantages[at(k * steps + step)]};
            for (std::int64_t i = 0; i < n; ++i) {
                const double slope =
                    advantage * ((i == chosen ? 1.0 : 0.0) - trial.p[at(i)]) +
                    weights.entropy * softmax_entropy_slope(trial.p[at(i)], trial.law.entropy);
                d_logits[at(i)] = static_cast<float>(share * slope);
            }
            const double error = weights.value_errors.empty()
                                     ? 0.0
                                     : double{weights.value_errors[at(k * steps + step)]};
            backward.step(walker, trial, picks[at(step)], d_logits,
                          static_cast<float>(share * error));
        }
    }
    add_projection_gradient(policy.shape, candidates, d_projection, d);
}

}  // namespace thresher
