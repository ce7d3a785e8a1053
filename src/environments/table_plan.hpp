#pragma once

// Which subsets a table is made of: uniform ones, and mutations of the best of those, so that the
// table is dense where a search will go. Every record is a function of the seed, its number and, of
// a mutation, the uniform records before it.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace thresher {

struct TablePlan {
    std::int64_t candidates = 0;  ///< N
    std::int64_t records = 500;
    std::int64_t least_size = 10, most_size = 10;  ///< of a subset, each as likely
    double near = 0.0;                             ///< share of the records that are mutations
    std::int64_t shard = 0, shards = 1;  ///< records whose number is `shard` modulo `shards`
    std::uint64_t seed = 0;

    std::int64_t uniform_records() const;
    /// Numbers of this shard, ascending; the uniform records come first.
    std::vector<std::int64_t> numbers() const;
};

/// Throws UsageError for a plan that cannot be. Local.
void check_plan(const TablePlan& plan);

/// The subset of uniform record `number`, [most_size], filled up with -1. Ascending. Local.
std::vector<std::int32_t> uniform_subset(const TablePlan& plan, std::int64_t number);

/// The subset of record `number`: one of the `good` subsets with up to half of it exchanged for
/// other candidates. [most_size], filled up with -1. Ascending. Local.
std::vector<std::int32_t> mutated_subset(const TablePlan& plan, std::int64_t number,
                                         std::span<const std::vector<std::int32_t>> good);

}  // namespace thresher
