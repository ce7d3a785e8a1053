// Class outputs of any framework as log-probabilities.

#include <algorithm>
#include <cmath>
#include <limits>

#include "src/acquisition/acquisition.hpp"
#include "src/base/check.hpp"

namespace thresher {

namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

void check_sizes(std::size_t inputs, std::int64_t classes, std::size_t outputs) {
    THRESHER_CHECK(
        classes > 0 && inputs == outputs && inputs % static_cast<std::size_t>(classes) == 0,
        "{} class outputs of {} classes for {} log-probabilities", inputs, classes, outputs);
}

}  // namespace

void logits_to_log_probs(std::span<const float> logits, std::int64_t classes,
                         std::span<float> log_probs) {
    check_sizes(logits.size(), classes, log_probs.size());
    const auto width = static_cast<std::size_t>(classes);
    for (std::size_t begin = 0; begin < logits.size(); begin += width) {
        const auto row = logits.subspan(begin, width);
        const double largest = *std::max_element(row.begin(), row.end());
        double sum = 0.0;
        for (const float logit : row) sum += std::exp(double{logit} - largest);
        const double log_sum = largest + std::log(sum);
        for (std::size_t c = 0; c < width; ++c) {
            log_probs[begin + c] =
                std::isfinite(log_sum) ? static_cast<float>(double{row[c]} - log_sum) : kNan;
        }
    }
}

void probabilities_to_log_probs(std::span<const float> probabilities, std::int64_t classes,
                                std::span<float> log_probs) {
    check_sizes(probabilities.size(), classes, log_probs.size());
    const auto width = static_cast<std::size_t>(classes);
    for (std::size_t begin = 0; begin < probabilities.size(); begin += width) {
        const auto row = probabilities.subspan(begin, width);
        double sum = 0.0;
        bool legal = true;
        for (const float p : row) {
            legal = legal && p >= 0.0F;
            sum += p;
        }
        legal = legal && std::abs(sum - 1.0) <= 1e-3;
        for (std::size_t c = 0; c < width; ++c)
            log_probs[begin + c] = legal ? std::log(row[c]) : kNan;
    }
}

}  // namespace thresher
