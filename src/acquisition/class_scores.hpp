#pragma once

// The kernels of the acquisitions that score class outputs, in SIMD: many rows at a time, one lane
// a row. pointwise.cpp shares the rows out to threads.

#include <cstdint>
#include <span>

namespace thresher {

/// Class outputs of consecutive rows.
struct ClassOutputs {
    const float* log_probs = nullptr;      ///< [n, S, C]
    std::size_t samples = 0, classes = 0;  ///< S, C

    std::size_t columns() const { return samples * classes; }
};

/// All fill scores [n]; a row whose mean prediction is off 1 by more than 1e-3, or that holds a
/// NaN, gets NaN. With p the mean over samples of the probabilities p_s:
///
/// mean_s H[p_s], with exponentials and the sums of a few terms in single precision, the rest in
/// double: all terms have the same sign, so the relative error stays below 1e-6 and is usually
/// below 1e-7. For S = 1 this is the entropy as well.
void score_mean_entropy(const ClassOutputs& outputs, std::span<float> scores);
/// H[p], in double.
void score_entropy_of_mean(const ClassOutputs& outputs, std::span<float> scores);
/// H[p] - mean_s H[p_s], in double, class by class relative to the likeliest sample, so that
/// samples that agree give exactly 0; never negative.
void score_mutual_information(const ClassOutputs& outputs, std::span<float> scores);
/// 1 - max_c p_c.
void score_one_minus_largest(const ClassOutputs& outputs, std::span<float> scores);
/// 1 - (the largest p_c - the second largest).
void score_one_minus_lead(const ClassOutputs& outputs, std::span<float> scores);
/// Mean over classes of the standard deviation of p_s,c over samples (population).
void score_mean_deviation(const ClassOutputs& outputs, std::span<float> scores);
/// || p - onehot(argmax p) ||_2.
void score_distance_to_vote(const ClassOutputs& outputs, std::span<float> scores);
/// mean_s || p_s - onehot(target) ||_2; NaN where the target [n] is not in [0, C).
void score_distance_to_target(const ClassOutputs& outputs, std::span<const std::int64_t> targets,
                              std::span<float> scores);
/// votes [n, C]: how many samples hold class c for the likeliest, the lowest such class; scores [n]
/// are 0, or NaN as above.
void count_votes(const ClassOutputs& outputs, std::span<std::uint32_t> votes,
                 std::span<float> scores);

}  // namespace thresher
