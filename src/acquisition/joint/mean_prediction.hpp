#pragma once

#include <cmath>
#include <cstddef>
#include <span>

namespace thresher {

/// mean [C] = the mean over samples of the probabilities of one row's `log_probs` [S, C]. Local.
inline void mean_prediction(std::span<const float> log_probs, std::span<double> mean) {
    const std::size_t classes = mean.size(), samples = log_probs.size() / classes;
    for (std::size_t c = 0; c < classes; ++c) {
        double sum = 0.0;
        for (std::size_t sample = 0; sample < samples; ++sample) {
            sum += std::exp(static_cast<double>(log_probs[sample * classes + c]));
        }
        mean[c] = sum / static_cast<double>(samples);
    }
}

}  // namespace thresher
