#pragma once

// The makers behind the table of environments.cpp. They make candidates once; copies come after.

#include "src/environments/environments.hpp"

namespace thresher {

Environment make_ring(const EnvironmentOptions& options, std::uint64_t seed, const Points& pool,
                      std::int64_t dimensions, std::int64_t classes);
Environment make_ring_with_blob(const EnvironmentOptions& options, std::uint64_t seed,
                                const Points& pool, std::int64_t dimensions, std::int64_t classes);
/// Throws UsageError unless its candidates are 50, each once, and 20 points are labelled.
Environment make_standard(const EnvironmentOptions& options, std::uint64_t seed, const Points& pool,
                          std::int64_t dimensions, std::int64_t classes);
Environment make_from_pool(const EnvironmentOptions& options, std::uint64_t seed,
                           const Points& pool, std::int64_t dimensions, std::int64_t classes);

/// Every candidate options.repeat times, the copies moved by normal noise, in a drawn order.
void repeat_candidates(Environment& environment, const EnvironmentOptions& options,
                       std::uint64_t seed);

/// Replaces the features of all points by `count` principal components of those that are not test
/// points, scaled together so that they have a variance of 1 on average. Each points to where its
/// largest weight is positive. Throws UsageError for more components than features, or than points
/// but one where those are fewer. Local.
void project(Environment& environment, std::int64_t count);

}  // namespace thresher
