// The walk of the cell, the sequential head, and their gradients against PyTorch's LSTM cell under
// autograd.

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/lstm_cell.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>

#include "src/policy/network/lstm.hpp"
#include "tests/policy/policy_support.hpp"
#include "tests/support/catch.hpp"

using namespace thresher;
using namespace thresher::test;

namespace {

at::Tensor tensor(const std::vector<float>& values, at::IntArrayRef shape) {
    return at::from_blob(const_cast<float*>(values.data()), shape, at::TensorOptions(at::kFloat))
        .clone();
}

at::Tensor parameter(std::span<const float> values, at::IntArrayRef shape) {
    return tensor({values.begin(), values.end()}, shape).set_requires_grad(true);
}

/// The parameters as tensors, in the order of the vector.
struct Leaves {
    at::Tensor features, step, recurrent, bias, output, output_bias, value, value_bias;

    explicit Leaves(const Policy& policy) {
        const auto parts = policy.parts();
        const std::int64_t h = policy.shape.hidden, s = policy.shape.outputs;
        features = parameter(parts.features, {policy.shape.features, 4 * h});
        step = parameter(parts.step, {4, 4 * h});
        recurrent = parameter(parts.recurrent, {h, 4 * h});
        bias = parameter(parts.bias, {4 * h});
        output = parameter(parts.output, {s, h});
        output_bias = parameter(parts.output_bias, {s});
        value = parameter(parts.value, {1, h});
        value_bias = parameter(parts.value_bias, {1});
    }

    std::vector<float> gradient() const {
        std::vector<float> all;
        for (const auto& leaf :
             {features, step, recurrent, bias, output, output_bias, value, value_bias}) {
            const at::Tensor part = leaf.grad().contiguous();
            all.insert(all.end(), part.data_ptr<float>(), part.data_ptr<float>() + part.numel());
        }
        return all;
    }
};

/// Rollouts that pick in a fixed pattern, and the gradients that are sent back.
struct Case {
    std::int64_t n, rollouts, truncation;
    CandidateSet candidates;
    Policy policy;
    SweepTrace trace;
    std::vector<float> values, d_logits, d_values;

    Case(std::int64_t rows, std::int64_t truncate)
        : n(rows),
          rollouts(3),
          truncation(truncate),
          candidates(some_candidates(rows, 5)),
          policy(some_policy("walk", 5, 2)),
          d_logits(normals(rows * rollouts * 2, 4)),
          d_values(normals(rows * rollouts, 5)) {
        trace.orders = shuffled_orders(n, {.rollouts = rollouts, .seed = 7});
    }

    std::vector<float> run() {
        const Sweep sweep(policy, candidates, rollouts, 8, truncation);
        sweep.forward(trace, [&](std::int64_t step, std::span<const float>,
                                 std::span<const float> some, std::span<std::uint8_t> actions) {
            values.insert(values.end(), some.begin(), some.end());
            for (std::int64_t k = 0; k < rollouts; ++k) {
                actions[index(k)] = step < 24 && (step + k) % 3 == 0 ? 1 : 0;
            }
        });
        std::vector<float> gradient(policy.parameters.size());
        sweep.backward(trace, d_logits, d_values, gradient);
        return gradient;
    }

    /// The same by PyTorch; returns the gradient and checks logits and values on the way.
    std::vector<float> run_torch() const {
        const Leaves leaves(policy);
        const std::int64_t h = policy.shape.hidden;
        at::Tensor hidden = at::zeros({rollouts, h}), cells = at::zeros({rollouts, h});
        at::Tensor loss = at::zeros({});
        const at::Tensor to_gates = at::cat({leaves.features, leaves.step}).t();
        std::vector<std::int32_t> taken(index(rollouts));
        for (std::int64_t step = 0; step < n; ++step) {
            if (truncation > 0 && step % truncation == 0) {
                hidden = hidden.detach();
                cells = cells.detach();
            }
            std::vector<float> inputs;
            for (std::int64_t k = 0; k < rollouts; ++k) {
                const std::int64_t entry = step * rollouts + k;
                const std::int64_t i = trace.orders[index(k * n + step)];
                inputs.insert(inputs.end(), candidates.features.begin() + i * 5,
                              candidates.features.begin() + (i + 1) * 5);
                const StepInputs now =
                    make_step_inputs(trace.nearness[index(entry)],
                                     step > 0 && trace.actions[index(entry - rollouts)] != 0,
                                     1.0 - taken[index(k)] / 8.0);
                inputs.insert(inputs.end(), now.begin(), now.end());
                taken[index(k)] += trace.actions[index(entry)];
            }
            const at::Tensor value =
                at::linear(hidden.detach(), leaves.value, leaves.value_bias).flatten();
            std::tie(hidden, cells) =
                at::lstm_cell(tensor(inputs, {rollouts, 9}), {hidden, cells}, to_gates,
                              leaves.recurrent.t(), leaves.bias, at::zeros({4 * h}));
            const at::Tensor logits =
                10.0 * (at::linear(hidden, leaves.output, leaves.output_bias) / 10.0).tanh();
            const auto part = [&](const std::vector<float>& all, std::int64_t width) {
                return tensor({all.begin() + step * width, all.begin() + (step + 1) * width},
                              {width});
            };
            CHECK((logits.flatten() - part(trace.logits, 2 * rollouts)).abs().max().item<float>() <
                  1e-5F);
            CHECK((value - part(values, rollouts)).abs().max().item<float>() < 1e-5F);
            loss = loss + (logits.flatten() * part(d_logits, 2 * rollouts)).sum() +
                   (value * part(d_values, rollouts)).sum();
        }
        loss.backward();
        return leaves.gradient();
    }
};

void check_close(const std::vector<float>& found, const std::vector<float>& expected) {
    REQUIRE(found.size() == expected.size());
    float largest = 0.0F, off = 0.0F;
    for (std::size_t i = 0; i < found.size(); ++i) {
        largest = std::max(largest, std::abs(expected[i]));
        off = std::max(off, std::abs(found[i] - expected[i]));
    }
    CHECK(largest > 0.1F);
    CHECK(off <= 1e-5F * std::max(1.0F, largest));
}

/// The sequential head by PyTorch: what its gradient is taken of. Checks the rollouts on the way.
at::Tensor sequential_objective(const Leaves& leaves, const CandidateSet& candidates,
                                const Rollouts& rollouts, const GradientWeights& weights) {
    const std::int64_t width = candidates.width, h = leaves.recurrent.size(0);
    const at::Tensor to_gates = at::cat({leaves.features, leaves.step}).t();
    at::Tensor sum = at::zeros({});
    for (std::size_t k = 0; k < rollouts.picks.size(); ++k) {
        const std::vector<std::int32_t>& picks = rollouts.picks[k];
        at::Tensor hidden = at::zeros({1, h}), cells = at::zeros({1, h});
        Nearness nearness(candidates);
        std::vector<std::int32_t> left;
        for (std::int32_t i = 0; i < candidates.rows; ++i) left.push_back(i);
        double log_probability = 0.0, entropy = 0.0;
        for (std::size_t step = 0; step < picks.size(); ++step) {
            const std::size_t entry = k * picks.size() + step;
            const at::Tensor value =
                at::linear(hidden.detach(), leaves.value, leaves.value_bias).sum();
            CHECK(std::abs(value.item<float>() - rollouts.values[entry]) < 1e-5F);
            std::vector<float> inputs;
            for (const std::int32_t i : left) {
                inputs.insert(inputs.end(), candidates.features.begin() + i * width,
                              candidates.features.begin() + (i + 1) * width);
                const StepInputs now = make_step_inputs(
                    nearness[i], step > 0,
                    1.0 - static_cast<double>(step) / static_cast<double>(picks.size()));
                inputs.insert(inputs.end(), now.begin(), now.end());
            }
            const std::int64_t rows = std::ssize(left);
            const auto [all_hidden, all_cells] =
                at::lstm_cell(tensor(inputs, {rows, width + 4}),
                              {hidden.expand({rows, h}), cells.expand({rows, h})}, to_gates,
                              leaves.recurrent.t(), leaves.bias, at::zeros({4 * h}));
            const at::Tensor logits =
                10.0 *
                (at::linear(all_hidden, leaves.output, leaves.output_bias) / 10.0).tanh().flatten();
            const at::Tensor log_p = at::log_softmax(logits, 0);
            const auto row = std::find(left.begin(), left.end(), picks[step]) - left.begin();
            const at::Tensor own_entropy = -(log_p.exp() * log_p).sum();
            sum = sum + double{weights.advantages[entry]} * log_p[row] +
                  weights.entropy * own_entropy + double{weights.value_errors[entry]} * value;
            log_probability += log_p[row].item<double>();
            entropy += own_entropy.item<double>();
            hidden = all_hidden.slice(0, row, row + 1);
            cells = all_cells.slice(0, row, row + 1);
            nearness.pick(picks[step]);
            left.erase(left.begin() + row);
        }
        CHECK(rollouts.log_probabilities[k] == Approx(log_probability).margin(1e-5));
        CHECK(rollouts.entropies[k] == Approx(entropy).margin(1e-5));
    }
    return sum / static_cast<double>(rollouts.picks.size());
}

}  // namespace

TEST_CASE("a walk and its gradient are those of PyTorch's LSTM cell") {
    Case walk(7, 0);
    const std::vector<float> gradient = walk.run();
    check_close(gradient, walk.run_torch());
}

TEST_CASE("the gradient of a walk of several stretches flows through all of it") {
    Case walk(150, 0);
    const std::vector<float> gradient = walk.run();
    check_close(gradient, walk.run_torch());
}

TEST_CASE("a truncated gradient is that of a walk whose state is cut off") {
    Case walk(40, 16);
    const std::vector<float> gradient = walk.run();
    check_close(gradient, walk.run_torch());
    Case whole(40, 0);
    const std::vector<float> other = whole.run();
    CHECK(gradient != other);
}

TEST_CASE("the sequential head and its gradient are those of PyTorch's LSTM cell") {
    const CandidateSet candidates = some_candidates(9, 5);
    const Policy policy = some_policy("sequential", 5);
    const Draw draw{.rollouts = 3, .picks = 4, .seed = 2};
    const Rollouts rollouts = draw_batches(policy, candidates, draw);
    const auto advantages = normals(12, 4), errors = normals(12, 5);
    const GradientWeights weights{advantages, 0.3, errors};
    std::vector<float> gradient(policy.parameters.size());
    find_head("sequential").add_gradient(policy, candidates, draw, rollouts, weights, gradient);
    const Leaves leaves(policy);
    sequential_objective(leaves, candidates, rollouts, weights).backward();
    check_close(gradient, leaves.gradient());
}

TEST_CASE("products of matrices of any height are those of the definition") {
    for (const std::int64_t rows : {1, 3, 4, 9}) {
        for (const std::int64_t width : {16, 48}) {
            const std::int64_t inner = 5;
            const auto a = normals(rows * inner, 1), b = normals(inner * width, 2);
            std::vector<float> c(index(rows * width), 1.0F);
            add_product(a, b, c, rows, inner, width);
            const std::vector<float> turned = transposed(a, inner);  // [inner, rows]
            std::vector<float> d(index(rows * width), 1.0F);
            add_transposed_product(turned, b, d, inner, rows, width);
            for (std::int64_t r = 0; r < rows; ++r) {
                for (std::int64_t w = 0; w < width; ++w) {
                    double sum = 1.0;
                    for (std::int64_t i = 0; i < inner; ++i) {
                        sum += double{a[index(r * inner + i)]} * double{b[index(i * width + w)]};
                    }
                    CHECK(c[index(r * width + w)] == Approx(sum).margin(1e-5));
                    CHECK(d[index(r * width + w)] == c[index(r * width + w)]);
                }
            }
        }
    }
}
