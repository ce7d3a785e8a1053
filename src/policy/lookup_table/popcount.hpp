#pragma once

// The kernel behind packed_subsets.cpp. Compiled once an instruction set.

#include <cstddef>
#include <cstdint>

namespace thresher {

/// Queries that are compared with a record at a time, while its words are at hand.
inline constexpr std::size_t kDistanceQueries = 4;

/// distances[q * records + r] = bits in which query q, of kDistanceQueries, and record r differ.
void count_differing_bits(const std::uint64_t* records, std::size_t record_count,
                          const std::uint64_t* queries, std::size_t words, std::int32_t* distances);

}  // namespace thresher
