#include "src/policy/heads/laws.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace thresher {

double walk_log_odds(double z, std::int64_t left, std::int64_t candidates) {
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    if (left <= 0) return -kInfinity;
    if (left >= candidates) return kInfinity;
    return z + std::log(static_cast<double>(left) / static_cast<double>(candidates - left));
}

double action_probability(double log_odds) { return 1.0 / (1.0 + std::exp(-log_odds)); }

double action_log_probability(double log_odds, bool picked) {
    const double x = picked ? log_odds : -log_odds;
    return x > 0.0 ? -std::log1p(std::exp(-x)) : x - std::log1p(std::exp(x));
}

double action_entropy(double log_odds) {
    if (std::isinf(log_odds)) return 0.0;
    const double p = action_probability(log_odds);
    return -p * action_log_probability(log_odds, true) -
           (1.0 - p) * action_log_probability(log_odds, false);
}

double action_score(double log_odds, bool picked) {
    if (std::isinf(log_odds)) return 0.0;
    return picked ? action_probability(-log_odds) : -action_probability(log_odds);
}

double action_entropy_slope(double log_odds) {
    if (std::isinf(log_odds)) return 0.0;
    return -log_odds * action_probability(log_odds) * action_probability(-log_odds);
}

SoftmaxLaw softmax_over_rest(std::span<const float> logits, std::span<const std::uint8_t> taken,
                             std::span<double> p) {
    double largest = -std::numeric_limits<double>::infinity();
    for (std::size_t i = 0; i < p.size(); ++i) {
        if (taken[i] == 0) largest = std::max(largest, double{logits[i]});
    }
    double sum = 0.0, weighted = 0.0;
    for (std::size_t i = 0; i < p.size(); ++i) {
        const double z = double{logits[i]} - largest;
        p[i] = taken[i] != 0 ? 0.0 : std::exp(z);
        sum += p[i];
        if (taken[i] == 0) weighted += p[i] * z;
    }
    for (double& probability : p) probability /= sum;
    return {largest + std::log(sum), std::log(sum) - weighted / sum};
}

double softmax_entropy_slope(double p, double entropy) {
    return p <= 0.0 ? 0.0 : -p * (std::log(p) + entropy);
}

std::int32_t entry_at(std::span<const double> p, double u) {
    double sum = 0.0;
    std::size_t last = 0;
    for (std::size_t i = 0; i < p.size(); ++i) {
        if (p[i] <= 0.0) continue;
        sum += p[i];
        last = i;
        if (u < sum) break;
    }
    return static_cast<std::int32_t>(last);
}

std::int32_t likeliest(std::span<const double> p) {
    return static_cast<std::int32_t>(std::max_element(p.begin(), p.end()) - p.begin());
}

}  // namespace thresher
