#pragma once

// Records of what retraining on subsets gave. The metric of other subsets is estimated from them.

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "src/policy/lookup_table/items.hpp"
#include "src/policy/lookup_table/packed_subsets.hpp"

namespace thresher {

struct LookupTable {
    explicit LookupTable(std::int64_t candidates) : subsets(candidates) {}

    PackedSubsets subsets;              ///< R of them
    std::vector<std::int64_t> ids;      ///< [N] of the candidates
    std::vector<std::int64_t> numbers;  ///< [R] of the records in the order they were drawn in
    std::vector<std::uint64_t> seeds;   ///< [R] under which a subset was drawn
    std::vector<double> seconds;        ///< [R] of retraining
    std::int64_t repeats = 1;           ///< r trainings of each
    std::map<std::string, std::vector<double>> metrics;  ///< name -> [R, r]; higher is better
    /// What the candidates and the proxy are; tables in which they differ do not go together.
    std::string candidates_checksum, proxy;
    CandidateFacts facts;

    std::int64_t size() const { return subsets.size(); }
};

/// The records whose metric is a number, each the mean over its trainings.
struct UsableRecords {
    PackedSubsets subsets;
    std::vector<double> values;    ///< [usable]
    std::int64_t quarantined = 0;  ///< records left out, as a metric of theirs is not finite
    std::int64_t least_size = 0, most_size = 0;  ///< candidates of a subset
};

/// Throws Error for a metric that the table has not, fewer than two usable records, or values that
/// are all the same: there is nothing to tell subsets apart by. Local.
UsableRecords usable_records(const LookupTable& table, const std::string& metric);
/// The same of subsets [R] and the values [R, repeats] of a metric.
UsableRecords usable_records(const PackedSubsets& subsets, std::span<const double> values,
                             std::int64_t repeats, std::string_view metric);

/// Everything of `part` that `table` lacks; a record is the same where number, seed, subset and
/// metrics are. Throws Error for other candidates, another proxy, other metrics, or a record whose
/// metrics differ from those already there. Afterwards records are in order of (seed, number).
void merge_into(LookupTable& table, const LookupTable& part);

}  // namespace thresher
