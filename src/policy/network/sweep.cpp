#include "src/policy/network/sweep.hpp"

#include <algorithm>

#include "src/policy/network/lstm.hpp"

namespace thresher {

namespace {

// Steps that are kept at once where nothing is truncated: few enough to stay in cache.
constexpr std::int64_t kStretch = 8;

std::size_t at(std::int64_t index) { return static_cast<std::size_t>(index); }

template <class T>
std::span<T> rows_of(std::vector<T>& values, std::int64_t first, std::int64_t count) {
    return std::span(values).subspan(at(first), at(count));
}

}  // namespace

/// What a gradient needs of some steps: [steps, K, ...].
struct Sweep::Stretch {
    std::vector<float> gates, cells, outputs, step_inputs;
    std::vector<float> before_hidden, before_cells;  ///< as `outputs` and `cells`, a step earlier
};

Sweep::Sweep(const Policy& policy, const CandidateSet& candidates, std::int64_t rollouts,
             std::int64_t budget, std::int64_t truncation)
    : policy_(policy),
      candidates_(candidates),
      parts_(policy.parts()),
      rollouts_(rollouts),
      budget_(budget),
      stretch_steps_(truncation > 0 ? truncation : kStretch),
      truncate_(truncation > 0),
      projection_(project_features(policy, candidates)) {}

void Sweep::gather_inputs(const SweepTrace& trace, std::int64_t step,
                          std::span<const std::int32_t> taken, std::span<float> step_inputs,
                          std::span<float> gates) const {
    const std::size_t width = at(4 * policy_.shape.hidden);
    constexpr std::size_t kStepInputs = std::tuple_size_v<StepInputs>;
    for (std::int64_t k = 0; k < rollouts_; ++k) {
        const std::int64_t entry = step * rollouts_ + k;
        const bool picked_last = step > 0 && trace.actions[at(entry - rollouts_)] != 0;
        const double left = 1.0 - static_cast<double>(taken[at(k)]) / static_cast<double>(budget_);
        const StepInputs now = make_step_inputs(trace.nearness[at(entry)], picked_last, left);
        std::copy(now.begin(), now.end(),
                  step_inputs.begin() + static_cast<std::ptrdiff_t>(at(k) * kStepInputs));
        const std::int32_t candidate = trace.orders[at(k * candidates_.rows + step)];
        std::copy_n(projection_.begin() + static_cast<std::ptrdiff_t>(at(candidate) * width), width,
                    gates.begin() + static_cast<std::ptrdiff_t>(at(k) * width));
    }
    add_product(step_inputs, parts_.step, gates, rollouts_, kStepInputs, 4 * policy_.shape.hidden);
}

void Sweep::forward(SweepTrace& trace, const Decide& decide) const {
    const std::int64_t n = candidates_.rows, h = policy_.shape.hidden, s = policy_.shape.outputs;
    trace.actions.assign(at(n * rollouts_), 0);
    trace.nearness.assign(at(n * rollouts_), 0.0F);
    trace.logits.assign(at(n * rollouts_ * s), 0.0F);
    trace.hidden.clear();
    trace.cells.clear();
    trace.taken.clear();
    std::vector<Nearness> nearness(at(rollouts_), Nearness(candidates_));
    std::vector<float> hidden(at(rollouts_ * h)), cells(hidden), gates(at(rollouts_ * 4 * h));
    std::vector<float> step_inputs(at(rollouts_) * std::tuple_size_v<StepInputs>);
    std::vector<float> values(at(rollouts_));
    std::vector<std::int32_t> taken(at(rollouts_));
    for (std::int64_t step = 0; step < n; ++step) {
        if (step % stretch_steps_ == 0) {
            trace.hidden.insert(trace.hidden.end(), hidden.begin(), hidden.end());
            trace.cells.insert(trace.cells.end(), cells.begin(), cells.end());
            trace.taken.insert(trace.taken.end(), taken.begin(), taken.end());
        }
        for (std::int64_t k = 0; k < rollouts_; ++k) {
            trace.nearness[at(step * rollouts_ + k)] =
                nearness[at(k)][trace.orders[at(k * n + step)]];
        }
        dot_rows(hidden, parts_.value, values, 1, h);
        for (float& value : values) value += parts_.value_bias[0];
        gather_inputs(trace, step, taken, step_inputs, gates);
        add_product(hidden, parts_.recurrent, gates, rollouts_, h, 4 * h);
        lstm_cells(h, gates, cells, cells, hidden);
        const auto logits = rows_of(trace.logits, step * rollouts_ * s, rollouts_ * s);
        dot_rows(hidden, parts_.output, logits, s, h);
        for (std::size_t i = 0; i < logits.size(); ++i) {
            logits[i] = policy_.bounded(logits[i] + parts_.output_bias[i % at(s)]);
        }
        const auto actions = rows_of(trace.actions, step * rollouts_, rollouts_);
        decide(step, logits, values, actions);
        for (std::int64_t k = 0; k < rollouts_; ++k) {
            if (actions[at(k)] == 0) continue;
            ++taken[at(k)];
            nearness[at(k)].pick(trace.orders[at(k * n + step)]);
        }
    }
}

void Sweep::run_again(const SweepTrace& trace, std::int64_t part, Stretch& stretch) const {
    const std::int64_t h = policy_.shape.hidden, row = rollouts_ * h;
    const std::int64_t begin = part * stretch_steps_;
    const std::int64_t end = std::min(candidates_.rows, begin + stretch_steps_);
    const std::int64_t input_row =
        rollouts_ * static_cast<std::int64_t>(std::tuple_size_v<StepInputs>);
    const std::int64_t steps = end - begin;
    for (auto* states :
         {&stretch.cells, &stretch.outputs, &stretch.before_hidden, &stretch.before_cells}) {
        states->resize(at(steps * row));
    }
    stretch.gates.resize(at(steps * 4 * row));
    stretch.step_inputs.resize(at(steps * input_row));
    std::copy_n(trace.hidden.begin() + part * row, row, stretch.before_hidden.begin());
    std::copy_n(trace.cells.begin() + part * row, row, stretch.before_cells.begin());
    std::vector<std::int32_t> taken(trace.taken.begin() + part * rollouts_,
                                    trace.taken.begin() + (part + 1) * rollouts_);
    for (std::int64_t i = 0; i < steps; ++i) {
        const auto gates = rows_of(stretch.gates, i * 4 * row, 4 * row);
        const auto before = rows_of(stretch.before_hidden, i * row, row);
        const auto after = rows_of(stretch.outputs, i * row, row);
        const auto cells_after = rows_of(stretch.cells, i * row, row);
        gather_inputs(trace, begin + i, taken,
                      rows_of(stretch.step_inputs, i * input_row, input_row), gates);
        add_product(before, parts_.recurrent, gates, rollouts_, h, 4 * h);
        lstm_cells(h, gates, rows_of(stretch.before_cells, i * row, row), cells_after, after);
        for (std::int64_t k = 0; k < rollouts_; ++k) {
            taken[at(k)] += trace.actions[at((begin + i) * rollouts_ + k)];
        }
        if (i + 1 == steps) break;
        std::copy(after.begin(), after.end(),
                  rows_of(stretch.before_hidden, (i + 1) * row, row).begin());
        std::copy(cells_after.begin(), cells_after.end(),
                  rows_of(stretch.before_cells, (i + 1) * row, row).begin());
    }
}

void Sweep::backward(const SweepTrace& trace, std::span<const float> d_logits,
                     std::span<const float> d_values, std::span<float> gradient) const {
    const PolicyParts<float> d = parts_of(policy_.shape, gradient);
    const std::int64_t n = candidates_.rows, h = policy_.shape.hidden, s = policy_.shape.outputs;
    const std::int64_t row = rollouts_ * h, stretches = (n + stretch_steps_ - 1) / stretch_steps_;
    const std::vector<float> back = transposed(parts_.recurrent, 4 * h);  // [4 H, H]
    std::vector<float> d_projection(projection_.size());
    std::vector<float> d_hidden(at(row)), d_cells(at(row)), d_output(at(rollouts_ * s));
    Stretch stretch;
    for (std::int64_t part = stretches - 1; part >= 0; --part) {
        const std::int64_t begin = part * stretch_steps_, end = std::min(n, begin + stretch_steps_);
        run_again(trace, part, stretch);
        if (truncate_) {
            std::fill(d_hidden.begin(), d_hidden.end(), 0.0F);
            std::fill(d_cells.begin(), d_cells.end(), 0.0F);
        }
        for (std::int64_t step = end - 1; step >= begin; --step) {
            const std::int64_t i = step - begin;
            const auto outputs = rows_of(stretch.outputs, i * row, row);
            for (std::size_t entry = 0; entry < d_output.size(); ++entry) {
                const std::size_t place = at(step * rollouts_ * s) + entry;
                d_output[entry] = d_logits[place] * policy_.slope(trace.logits[place]);
                d.output_bias[entry % at(s)] += d_output[entry];
            }
            add_transposed_product(d_output, outputs, d.output, rollouts_, s, h);
            add_product(d_output, parts_.output, d_hidden, rollouts_, s, h);
            const auto gates = rows_of(stretch.gates, i * 4 * row, 4 * row);
            lstm_cells_backward(h, gates, rows_of(stretch.before_cells, i * row, row),
                                rows_of(stretch.cells, i * row, row), d_hidden, d_cells);
            std::fill(d_hidden.begin(), d_hidden.end(), 0.0F);
            add_product(gates, back, d_hidden, rollouts_, 4 * h, h);
            for (std::int64_t k = 0; k < rollouts_; ++k) {
                const std::int64_t candidate = trace.orders[at(k * n + step)];
                float* to = d_projection.data() + candidate * 4 * h;
                const float* from = gates.data() + k * 4 * h;
                for (std::int64_t unit = 0; unit < 4 * h; ++unit) to[unit] += from[unit];
            }
        }
        const std::int64_t rows = (end - begin) * rollouts_;
        add_transposed_product(stretch.before_hidden, stretch.gates, d.recurrent, rows, h, 4 * h);
        add_transposed_product(stretch.step_inputs, stretch.gates, d.step, rows,
                               std::tuple_size_v<StepInputs>, 4 * h);
        if (d_values.empty()) continue;
        const auto errors = d_values.subspan(at(begin * rollouts_), at(rows));
        add_transposed_product(errors, stretch.before_hidden, d.value, rows, 1, h);
        for (const float error : errors) d.value_bias[0] += error;
    }
    add_projection_gradient(policy_.shape, candidates_, d_projection, d);
}

}  // namespace thresher
