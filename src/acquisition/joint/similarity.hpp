#pragma once

// What facility location does with a tile of pairs, in SIMD. A tile is [rows, width]; its sums are
// exact on the grid that `magic` rounds to (exact_grid.hpp). All local.

#include <cstddef>
#include <span>

namespace thresher {

/// tile[i, j] = 1 + factors[i] x tile[i, j].
void to_cosine_similarity(std::span<float> tile, std::size_t width, std::span<const float> factors);

/// tile = exp(-scale x tile).
void to_rbf_similarity(std::span<float> tile, float scale);

/// sums[j] += sum over i of max(0, tile[i, j] - best[i]).
void add_improvements(std::span<const float> tile, std::size_t width, std::span<const float> best,
                      double magic, std::span<double> sums);

/// sums[j] += sum over those i with first + i >= starts[j] of max(0, tile[i, j] - after[i]) -
/// max(0, tile[i, j] - before[i]), each rounded on its own.
void add_changes(std::span<const float> tile, std::size_t width, std::span<const float> before,
                 std::span<const float> after, std::size_t first, std::span<const double> starts,
                 double magic, std::span<double> sums);

/// sums[j] -= sum over i of tile[i, j] >= 0; returns the largest of the first `columns` columns and
/// of `largest`.
float subtract_distances(std::span<const float> tile, std::size_t width, std::size_t columns,
                         float largest, double magic, std::span<double> sums);

}  // namespace thresher
