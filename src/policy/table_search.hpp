#pragma once

// Plain search on a refreshed table, without a policy: batches are climbed by exchanging one
// candidate after the other for whatever the table estimates to be better, and where the climbs end
// is retrained. What a policy is to be held against in its own environment.

#include <cstdint>
#include <vector>

#include "src/policy/refreshed_table.hpp"

namespace thresher {

struct SearchOptions {
    std::int64_t picks = 0;      ///< b
    std::int64_t refreshes = 0;  ///< of the table, with what it retrains in each
    std::uint64_t seed = 0;
};

/// Climbs from the best records so many times, refreshing the table after each; returns the record
/// with the highest metric. Throws as RefreshedTable::refresh. Collective.
std::vector<std::int32_t> search_table(RefreshedTable& table, const SearchOptions& options);

}  // namespace thresher
