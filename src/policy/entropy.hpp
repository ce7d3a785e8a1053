#pragma once

#include <cmath>
#include <span>

namespace thresher {

/// - sum p log p, natural logarithm, of one law at a time; src/acquisition scores many rows.
inline double entropy_of(std::span<const double> probabilities) {
    double entropy = 0.0;
    for (const double p : probabilities) entropy -= p > 0.0 ? p * std::log(p) : 0.0;
    return entropy;
}

}  // namespace thresher
