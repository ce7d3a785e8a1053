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

/// Adds up `terms` vectors of equal length, of which this rank holds the consecutive ones
/// first_term, first_term + 1, ... in `own` (row major, [own terms, length]); ranks hold them in
/// rank order. The tree sum over all terms, on every rank, in `result` [length]; T is float or
/// double. Every addition is in T. Each rank sends the sums of the largest whole subtrees it holds
/// (about log2(terms) x length values at most, one x length where its terms are an aligned power of
/// two) and length / ranks values of the result, in slices of 4 MiB a subtree. Throws the same
/// Error on every rank where the ranks' terms do not make up 0..terms-1. Collective.
template <class T>
void tree_all_reduce(Collective& collective, std::int64_t terms, std::int64_t first_term,
                     std::span<const T> own, std::span<T> result);

extern template void tree_all_reduce<float>(Collective&, std::int64_t, std::int64_t,
                                            std::span<const float>, std::span<float>);
extern template void tree_all_reduce<double>(Collective&, std::int64_t, std::int64_t,
                                             std::span<const double>, std::span<double>);

}  // namespace thresher
