#pragma once

// The small learner that is trained from scratch on the labelled set and a subset of the
// candidates: softmax regression, or a perceptron with one hidden layer, by full-batch Adam. A
// group of subsets is trained side by side, one lane of the vectors each, so every subset goes
// through the same arithmetic alone or in company. Compiled once an instruction set.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace thresher {

/// What the learner makes of the candidates that are not in the subset.
enum class Supervision {
    supervised,    ///< nothing
    pseudo_label,  ///< what it is sure of counts as labelled (Lee 2013)
    mean_teacher   ///< it should agree with a running mean of itself (Tarvainen and Valpola 2017)
};

std::string_view supervision_name(Supervision supervision);

/// The weight w(t) of what is not labelled at a step: `consistency` when the ramp, a share of the
/// steps, is over, and times exp(-5 (1 - t)^2) before (Laine and Aila 2017).
inline double consistency_weight(double consistency, double ramp, std::int64_t step,
                                 std::int64_t steps) {
    const double length = ramp * static_cast<double>(steps);
    const double t = length <= 0.0 ? 1.0 : std::min(1.0, static_cast<double>(step) / length);
    return consistency * std::exp(-5.0 * (1.0 - t) * (1.0 - t));
}

struct LearnerOptions {
    std::int64_t hidden = 0;  ///< width of the hidden layer; 0: softmax regression
    std::int64_t steps = 100;
    double learning_rate = 0.1;  ///< of the first step; falls to 0 in a straight line
    double weight_decay = 1e-3;  ///< half of it times the squared weights, without the biases
    Supervision supervision = Supervision::supervised;
    double consistency = 1.0;     ///< weight of the candidates when the ramp is over
    double ramp = 0.5;            ///< share of the steps over which it grows, exp(-5 (1 - t)^2)
    double threshold = 0.95;      ///< pseudo-label: probability from which the learner is sure
    double teacher_decay = 0.95;  ///< mean-teacher
    double noise = 0.1;           ///< mean-teacher: of the inputs, normal
};

/// Points with a constant 1 behind each, for the biases.
struct Inputs {
    std::int64_t rows = 0;
    std::vector<float> values;  ///< [rows, d + 1]
    std::vector<std::int32_t> targets;
};

/// What all subsets of a group have in common.
struct LearnerTask {
    std::int64_t dimensions = 0, classes = 0;  ///< d and C
    const LearnerOptions& options;
    const Inputs& labelled;
    const Inputs& candidates;
    std::span<const float> initial;  ///< [parameters()] weights
    /// mean-teacher: copies of the candidates' values with noise, used in turn.
    std::span<const std::vector<float>> noisy;
};

/// Weights of a learner: (d + 1) C, or (d + 1) H + (H + 1) C, the constant's row last.
std::int64_t parameters(const LearnerOptions& options, std::int64_t dimensions,
                        std::int64_t classes);

/// Floating-point operations of the products, a multiplication and its sum being two: of a forward
/// pass for one row, and of training on the labelled set and `picked` of the candidates.
double forward_flops(const LearnerOptions& options, std::int64_t dimensions, std::int64_t classes);
double training_flops(const LearnerTask& task, std::int64_t picked);

/// Subsets of a group.
std::int64_t learner_lanes();

/// Trains on the labelled set and each of the `subsets` [n, size], n <= learner_lanes(): positions
/// of candidates, -1 for none. Fills `weights` [parameters, learner_lanes()]. Local.
void train_group(const LearnerTask& task, std::span<const std::int32_t> subsets, std::int64_t size,
                 std::span<float> weights);

/// Shares of `points` that the learners classify correctly (ties to the lower class), and their
/// mean log-probability of the target; both [learner_lanes()], and neither a number where a logit
/// is not finite. Local.
void judge_group(const LearnerTask& task, std::span<const float> weights, const Inputs& points,
                 std::span<double> accuracy, std::span<double> log_likelihood);

/// Log-probabilities [points, C] by the learner of one lane. Local.
void predict_lane(const LearnerTask& task, std::span<const float> weights, std::int64_t lane,
                  const Inputs& points, std::span<float> log_probs);

}  // namespace thresher
