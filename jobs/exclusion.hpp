#pragma once

// Ids that may not be picked again: what is labelled already.

#include <cstdint>
#include <string>
#include <vector>

#include "jobs/score_source.hpp"

namespace thresher::jobs {

/// The ids of all `files`, on every rank. Throws FileError, the same on all ranks, for a file that
/// is no set of ids. Collective.
std::vector<std::int64_t> read_excluded_ids(Job& job, const std::vector<std::string>& files);

/// One byte per row this rank owns, 1 = its id is among `ids`. Throws FileError, the same on all
/// ranks, for ids the pool does not have; `origin` is where they came from. Collective.
std::vector<std::uint8_t> mark_excluded(Collective& collective, std::vector<std::int64_t> ids,
                                        const ShardScores& shard, const std::string& origin);

}  // namespace thresher::jobs
