#pragma once

// A selection policy: one LSTM cell that reads a candidate's features and what was done so far, and
// tells how much the candidate is worth. The same cell, whatever head turns its outputs into a
// batch.

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "src/policy/candidate_set.hpp"

namespace thresher {

/// What changes as picks are made: distance to the nearest pick, closeness to it, whether the last
/// candidate was picked, the share of the budget that is left.
using StepInputs = std::array<float, 4>;

/// q is the distance to the nearest pick in units of the set's scale: q / (1 + q), which is 1 where
/// there is none, and exp(-8 q^2), which is 1 for a copy.
StepInputs make_step_inputs(float q, bool picked_last, double budget_left);

struct PolicyShape {
    std::int64_t features = 0;  ///< F of the candidates
    std::int64_t hidden = 32;   ///< H, a multiple of kHiddenStep
    std::int64_t outputs = 1;   ///< S of a candidate; one a pick for the head batch

    bool operator==(const PolicyShape&) const = default;
};

/// The parts of a vector of parameters, or of their gradient. Gates are in the order input, forget,
/// cell, output.
template <class T>
struct PolicyParts {
    std::span<T> features;     ///< [F, 4 H]
    std::span<T> step;         ///< [4, 4 H]
    std::span<T> recurrent;    ///< [H, 4 H]
    std::span<T> bias;         ///< [4 H]
    std::span<T> output;       ///< [S, H]
    std::span<T> output_bias;  ///< [S]
    std::span<T> value;        ///< [H]; what reward is to come, from the state before a step
    std::span<T> value_bias;   ///< [1]
};

std::int64_t parameter_count(const PolicyShape& shape);
PolicyParts<float> parts_of(const PolicyShape& shape, std::span<float> values);
PolicyParts<const float> parts_of(const PolicyShape& shape, std::span<const float> values);

struct Policy {
    std::string head;
    PolicyShape shape;
    double logit_bound = 10.0;  ///< B: z = B tanh(output / B)
    std::vector<float> parameters;

    PolicyParts<const float> parts() const { return parts_of(shape, std::span(parameters)); }
    float bounded(float output) const;
    /// dz / d output, from z.
    float slope(float logit) const;
};

/// Parameters as PyTorch begins with, uniform in +-1 / sqrt(H), keyed by the seed; the bias of the
/// forget gate is 1 more, and the output layers are 0, so that every head begins as the uniform
/// law. Throws UsageError for sizes out of range. Local.
Policy make_policy(const std::string& head, const PolicyShape& shape, double logit_bound,
                   std::uint64_t seed);

/// [N, 4 H]: what the features of all candidates add to the gates, bias included. Local.
std::vector<float> project_features(const Policy& policy, const CandidateSet& candidates);

/// Adds the gradients of parts `features` and `bias`, given those of the projection, [N, 4 H].
/// Local.
void add_projection_gradient(const PolicyShape& shape, const CandidateSet& candidates,
                             std::span<const float> d_projection, PolicyParts<float> gradient);

/// [width, rows] of [rows, width]. Local.
std::vector<float> transposed(std::span<const float> matrix, std::int64_t width);

}  // namespace thresher
