#pragma once

// Floating-point sums that have the same bits for every rank count. The terms are numbered 0..n-1
// (logical shards, blocks); the sum is that of the one balanced binary tree over them,
// sum(a, b) = sum(a, m) + sum(m, b), m = a + the largest power of two below b - a.

#include <cstdint>
#include <span>

#include "src/base/collective.hpp"

namespace thresher {

/// The tree sum of `values`, in double. Local.
double tree_sum(std::span<const double> values);

/// Adds up `terms` vectors of equal length, of which this rank holds the consecutive ones first_term,
/// first_term + 1, ... in `own` (row major, [own terms, length]); ranks hold them in rank order.
/// The tree sum over all terms, on every rank, in `result` [length]; T is float or double.
/// Moves (terms of the largest whole subtrees each rank holds) x length values, in slices of 4 MiB.
/// Collective.
template <class T>
void tree_all_reduce(Collective& collective, std::int64_t terms, std::int64_t first_term,
                     std::span<const T> own, std::span<T> result);

extern template void tree_all_reduce<float>(Collective&, std::int64_t, std::int64_t,
                                            std::span<const float>, std::span<float>);
extern template void tree_all_reduce<double>(Collective&, std::int64_t, std::int64_t,
                                             std::span<const double>, std::span<double>);

}  // namespace thresher
