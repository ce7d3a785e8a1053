#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "src/acquisition/acquisition.hpp"

namespace thresher::test {

/// Scores of probabilities [rows, S, C].
inline std::vector<float> score(const char* acquisition, const std::vector<float>& probabilities,
                                std::int64_t samples, std::int64_t classes,
                                const std::vector<std::int64_t>& targets = {}) {
    std::vector<float> log_probs(probabilities.size());
    for (std::size_t i = 0; i < log_probs.size(); ++i) log_probs[i] = std::log(probabilities[i]);
    PredictionView view;
    view.log_probs = log_probs;
    view.samples = samples;
    view.classes = classes;
    view.targets = targets;
    std::vector<float> scores(log_probs.size() / static_cast<std::size_t>(samples * classes));
    find_acquisition(acquisition).score(view, scores);
    return scores;
}

}  // namespace thresher::test
