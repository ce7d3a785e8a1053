#pragma once

// Sums of log(1 + exp(x)), in SIMD.

#include <cstddef>
#include <span>

namespace thresher {

/// sums[i] += weight * sum_j log(1 + exp(x_ij)) with x = scale * products + bias, over the first
/// `columns` of products [n, width]. In single precision: every term to 1e-6 of it or, where that
/// is more, to 1e-7 |x| of it; so is the sum of up to some hundred columns. Row i depends on its
/// own products alone. Local.
void add_softplus_sums(std::span<const float> products, std::size_t width, std::size_t columns,
                       float scale, float bias, double weight, std::span<double> sums);

}  // namespace thresher
