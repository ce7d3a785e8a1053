#pragma once

// The laws by which logits become picks, their log-probabilities and gradients, in double. An
// action is picked (1) or passed over (0); what is forced has probability 1, entropy 0 and no
// gradient.

#include <cstdint>
#include <span>

namespace thresher {

/// Log-odds of picking the candidate that is met: z + logit(left / candidates), `left` picks being
/// left among `candidates` candidates, this one included; -inf where none is left and +inf where
/// all must be picked. With z = 0 every subset of the size is as likely.
double walk_log_odds(double z, std::int64_t left, std::int64_t candidates);

/// Of an action that has these log-odds x: its probability p = sigmoid x, and log p or log (1 - p).
double action_probability(double log_odds);
double action_log_probability(double log_odds, bool picked);
/// -p log p - (1 - p) log (1 - p)
double action_entropy(double log_odds);

/// d log probability / dx = a - p, and d entropy / dx = -x p (1 - p); 0 where x is infinite.
double action_score(double log_odds, bool picked);
double action_entropy_slope(double log_odds);

/// Softmax over the entries that are not `taken`, into p [n]; taken ones get 0. Returns the
/// entropy. log p = z - `log_sum`.
struct SoftmaxLaw {
    double log_sum = 0.0, entropy = 0.0;
};
SoftmaxLaw softmax_over_rest(std::span<const float> logits, std::span<const std::uint8_t> taken,
                             std::span<double> p);

/// d entropy / dz of an entry: -p (log p + entropy); 0 where p is 0.
double softmax_entropy_slope(double p, double entropy);

/// The entry at which the running sum of p passes u in (0, 1); never one of probability 0.
std::int32_t entry_at(std::span<const double> p, double u);

/// The most probable entry; the first of several.
std::int32_t likeliest(std::span<const double> p);

}  // namespace thresher
