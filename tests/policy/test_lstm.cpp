// The walk of the cell and its gradient against PyTorch's LSTM cell under autograd.

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/linear.h>
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
