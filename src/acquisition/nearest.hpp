#pragma once

// The kernel of the acquisitions that look for near rows among a few others.

#include <cstdint>
#include <span>

namespace thresher {

/// Squared Euclidean distances, in double and from differences, of `row` [d] to each of `others`
/// [m, d] into `distances` [m]. Local.
void squared_distances(std::span<const double> row, std::span<const float> others,
                       std::span<double> distances);

/// means [n]: of the Euclidean distances of each row of `embeddings` [n, d] to the k nearest of
/// `others` [m, d], or to all where there are fewer. Where `ids` [n] and `other_ids` [m] are given,
/// a row skips itself. Others that are not finite are passed over; a row that is not finite, or has
/// nothing to be compared with, gets NaN. On all threads. Local.
void mean_nearest_distances(std::span<const float> embeddings, std::span<const std::int64_t> ids,
                            std::span<const float> others, std::span<const std::int64_t> other_ids,
                            std::int64_t size, std::size_t k, std::span<double> means);

}  // namespace thresher
