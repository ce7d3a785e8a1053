#include "src/detection/presence.hpp"

#include <cmath>
#include <vector>

namespace thresher {

void presence(const ImageDetections& found, std::int64_t classes, std::span<float> log_probs) {
    std::vector<double> expected(static_cast<std::size_t>(classes), 0.0);
    double all = 1.0;
    for (std::size_t i = 0; i < found.scores.size(); ++i) {
        expected[static_cast<std::size_t>(found.classes[i])] += double{found.scores[i]};
        all += double{found.scores[i]};
    }
    for (std::size_t c = 0; c < expected.size(); ++c) {
        log_probs[c] = static_cast<float>(std::log(expected[c] / all));
    }
    log_probs[expected.size()] = static_cast<float>(-std::log(all));
}

}  // namespace thresher
