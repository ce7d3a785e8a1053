#include "src/strategy/log_softmax.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace thresher {

void log_softmax_rows(std::span<const float> logits, std::int64_t classes,
                      std::span<float> log_probs) {
    const auto width = static_cast<std::size_t>(classes);
    for (std::size_t begin = 0; begin < logits.size(); begin += width) {
        const auto row = logits.subspan(begin, width);
        const auto out = log_probs.subspan(begin, width);
        const double largest = *std::max_element(row.begin(), row.end());
        double sum = 0.0;
        for (const float logit : row) sum += std::exp(static_cast<double>(logit) - largest);
        const double normaliser = largest + std::log(sum);
        for (std::size_t c = 0; c < width; ++c) out[c] = static_cast<float>(row[c] - normaliser);
    }
}

void cross_entropy_rows(std::span<const float> log_probs, std::int64_t classes,
                        std::span<const std::int64_t> targets, std::span<float> losses) {
    for (std::size_t i = 0; i < targets.size(); ++i) {
        const std::int64_t target = targets[i];
        const bool known = target >= 0 && target < classes;
        losses[i] = known ? -log_probs[i * static_cast<std::size_t>(classes) +
                                       static_cast<std::size_t>(target)]
                          : std::numeric_limits<float>::quiet_NaN();
    }
}

}  // namespace thresher
