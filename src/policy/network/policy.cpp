#include "src/policy/network/policy.hpp"

#include <algorithm>
#include <cmath>

#include "src/base/check.hpp"
#include "src/policy/network/lstm.hpp"
#include "src/random/philox.hpp"

namespace thresher {

namespace {

template <class T>
PolicyParts<T> cut(const PolicyShape& shape, std::span<T> values) {
    std::size_t begin = 0;
    const auto next = [&](std::int64_t count) {
        const std::span<T> part = values.subspan(begin, static_cast<std::size_t>(count));
        begin += part.size();
        return part;
    };
    const std::int64_t h = shape.hidden, gates = 4 * h;
    const auto step_inputs = static_cast<std::int64_t>(StepInputs{}.size());
    PolicyParts<T> parts;
    parts.features = next(shape.features * gates);
    parts.step = next(step_inputs * gates);
    parts.recurrent = next(h * gates);
    parts.bias = next(gates);
    parts.output = next(shape.outputs * h);
    parts.output_bias = next(shape.outputs);
    parts.value = next(h);
    parts.value_bias = next(1);
    return parts;
}

}  // namespace

StepInputs make_step_inputs(float q, bool picked_last, double budget_left) {
    // Of an infinite distance: no pick yet.
    const float far = std::isinf(q) ? 1.0F : q / (1.0F + q);
    return {far, std::exp(-8.0F * q * q), picked_last ? 1.0F : 0.0F,
            static_cast<float>(budget_left)};
}

std::int64_t parameter_count(const PolicyShape& shape) {
    const std::int64_t inputs =
        shape.features + static_cast<std::int64_t>(StepInputs{}.size()) + shape.hidden + 1;
    return inputs * 4 * shape.hidden + (shape.outputs + 1) * (shape.hidden + 1);
}

PolicyParts<float> parts_of(const PolicyShape& shape, std::span<float> values) {
    return cut(shape, values);
}

PolicyParts<const float> parts_of(const PolicyShape& shape, std::span<const float> values) {
    return cut(shape, values);
}

float Policy::bounded(float output) const {
    return static_cast<float>(logit_bound * std::tanh(double{output} / logit_bound));
}

float Policy::slope(float logit) const {
    const double share = double{logit} / logit_bound;
    return static_cast<float>(1.0 - share * share);
}

Policy make_policy(const std::string& head, const PolicyShape& shape, double logit_bound,
                   std::uint64_t seed) {
    THRESHER_CHECK_AS(
        UsageError,
        shape.hidden >= kHiddenStep && shape.hidden % kHiddenStep == 0 && shape.hidden <= 1024,
        "the hidden size of a policy is {}; allowed: multiples of {} up to 1024", shape.hidden,
        kHiddenStep);
    THRESHER_CHECK_AS(UsageError, logit_bound > 0.0,
                      "the bound of a policy's logits is {}; it must be above 0", logit_bound);
    THRESHER_CHECK(shape.features >= 1 && shape.outputs >= 1,
                   "a policy of {} features and {} outputs; both must be 1 or more", shape.features,
                   shape.outputs);
    Policy policy{head, shape, logit_bound, {}};
    policy.parameters.resize(static_cast<std::size_t>(parameter_count(shape)));
    const KeyedRandom random(seed, Stream::policy_parameters, 0);
    const double width = 1.0 / std::sqrt(static_cast<double>(shape.hidden));
    for (std::size_t i = 0; i < policy.parameters.size(); ++i) {
        policy.parameters[i] =
            static_cast<float>(width * (2.0 * random.uniform(static_cast<std::int64_t>(i)) - 1.0));
    }
    const PolicyParts<float> parts = parts_of(shape, std::span(policy.parameters));
    for (float& bias : parts.bias.subspan(static_cast<std::size_t>(shape.hidden),
                                          static_cast<std::size_t>(shape.hidden))) {
        bias += 1.0F;
    }
    for (const auto& part : {parts.output, parts.output_bias, parts.value, parts.value_bias}) {
        std::fill(part.begin(), part.end(), 0.0F);
    }
    return policy;
}

std::vector<float> project_features(const Policy& policy, const CandidateSet& candidates) {
    const PolicyShape& shape = policy.shape;
    THRESHER_CHECK(candidates.width == shape.features,
                   "the policy reads {} features of a candidate, but there are {}", shape.features,
                   candidates.width);
    const PolicyParts<const float> parts = policy.parts();
    std::vector<float> projection(static_cast<std::size_t>(candidates.rows * 4 * shape.hidden));
    for (std::size_t begin = 0; begin < projection.size(); begin += parts.bias.size()) {
        std::copy(parts.bias.begin(), parts.bias.end(),
                  projection.begin() + static_cast<std::ptrdiff_t>(begin));
    }
    add_product(candidates.features, parts.features, projection, candidates.rows, shape.features,
                4 * shape.hidden);
    return projection;
}

void add_projection_gradient(const PolicyShape& shape, const CandidateSet& candidates,
                             std::span<const float> d_projection, PolicyParts<float> gradient) {
    add_transposed_product(candidates.features, d_projection, gradient.features, candidates.rows,
                           shape.features, 4 * shape.hidden);
    const std::size_t gates = gradient.bias.size();
    for (std::size_t i = 0; i < d_projection.size(); ++i) {
        gradient.bias[i % gates] += d_projection[i];
    }
}

std::vector<float> transposed(std::span<const float> matrix, std::int64_t width) {
    const auto columns = static_cast<std::size_t>(width);
    const std::size_t rows = matrix.size() / columns;
    std::vector<float> turned(matrix.size());
    for (std::size_t r = 0; r < rows; ++r) {
        for (std::size_t c = 0; c < columns; ++c) turned[c * rows + r] = matrix[r * columns + c];
    }
    return turned;
}

}  // namespace thresher
