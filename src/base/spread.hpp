#pragma once

#include <span>
#include <vector>

namespace thresher {

/// Mean and population standard deviation.
struct Spread {
    double mean = 0.0, deviation = 0.0;
};

/// Of values [n]; 0 and 0 where there are none.
Spread spread_of(std::span<const double> values);
/// Of the finite ones.
Spread spread_of_finite(std::vector<double> values);

}  // namespace thresher
