#pragma once

// The acquisitions written down once more, row by row in long double, and predictions to try them
// on.

#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

#include "src/acquisition/acquisition.hpp"
#include "src/acquisition/outputs.hpp"
#include "src/random/philox.hpp"

namespace thresher::test {

using Row = std::vector<std::vector<long double>>;  ///< probabilities [S][C] of one row

inline Row probabilities_of(const float* log_probs, std::size_t samples, std::size_t classes) {
    Row row(samples, std::vector<long double>(classes));
    for (std::size_t s = 0; s < samples; ++s) {
        for (std::size_t c = 0; c < classes; ++c) {
            row[s][c] = std::exp(static_cast<long double>(log_probs[s * classes + c]));
        }
    }
    return row;
}

inline std::vector<long double> mean_of(const Row& row) {
    std::vector<long double> mean(row[0].size());
    for (const auto& sample : row) {
        for (std::size_t c = 0; c < mean.size(); ++c) {
            mean[c] += sample[c] / static_cast<long double>(row.size());
        }
    }
    return mean;
}

inline long double entropy_of(const std::vector<long double>& p) {
    long double entropy = 0;
    for (const long double value : p) entropy -= value > 0 ? value * std::log(value) : 0;
    return entropy;
}

inline long double mean_entropy_of(const Row& row) {
    long double sum = 0;
    for (const auto& sample : row) sum += entropy_of(sample);
    return sum / static_cast<long double>(row.size());
}

inline long double mean_kl_of(const Row& row) {
    const auto mean = mean_of(row);
    long double sum = 0;
    for (const auto& sample : row) {
        for (std::size_t c = 0; c < mean.size(); ++c) {
            if (sample[c] > 0) sum += sample[c] * std::log(sample[c] / mean[c]);
        }
    }
    return sum / static_cast<long double>(row.size());
}

inline long double mean_std_of(const Row& row) {
    const auto mean = mean_of(row);
    long double sum = 0;
    for (std::size_t c = 0; c < mean.size(); ++c) {
        long double square = 0;
        for (const auto& sample : row) square += (sample[c] - mean[c]) * (sample[c] - mean[c]);
        sum += std::sqrt(square / static_cast<long double>(row.size()));
    }
    return sum / static_cast<long double>(mean.size());
}

inline long double distance_to_class(const std::vector<long double>& p, std::size_t target) {
    long double square = 0;
    for (std::size_t c = 0; c < p.size(); ++c) {
        const long double miss = p[c] - (c == target ? 1 : 0);
        square += miss * miss;
    }
    return std::sqrt(square);
}

/// Log-probabilities [rows, S, C] of normal logits; one in ten is -inf, and every fourth row has
/// samples that agree.
inline std::vector<float> some_log_probs(std::size_t rows, std::size_t samples,
                                         std::size_t classes) {
    const KeyedRandom random(3, Stream::synthetic, 0);
    std::vector<float> logits(rows * samples * classes), log_probs(logits.size());
    for (std::size_t i = 0; i < logits.size(); ++i) {
        const auto id = static_cast<std::int64_t>(i);
        logits[i] = static_cast<float>(4.0 * random.normal(id));
        const bool first = i % classes == 0;
        if (!first && random.uniform(id, 9) < 0.1) {
            logits[i] = -std::numeric_limits<float>::infinity();
        }
        const std::size_t row = i / (samples * classes), s = i / classes % samples;
        if (row % 4 == 3 && s > 0) logits[i] = logits[i - s * classes];
    }
    logits_to_log_probs(logits, static_cast<std::int64_t>(classes), log_probs);
    return log_probs;
}

}  // namespace thresher::test
