#include "src/strategy/cross_entropy.hpp"

#include <limits>

namespace thresher {

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
