#pragma once

// Ids that may not be picked again: what is labelled already.

#include <cstdint>
#include <string>
#include <vector>

#include "jobs/score_source.hpp"

namespace thresher::jobs {

/// One byte per row this rank owns, 1 = excluded; empty where `files` is. Throws FileError, the
/// same on all ranks, for a file that is no set of ids and for ids the pool does not have.
/// Collective.
std::vector<std::uint8_t> mark_excluded(Job& job, const std::vector<std::string>& files,
                                        const ShardScores& shard);

/// As above for ids that every rank has.
std::vector<std::uint8_t> mark_excluded_ids(Collective& collective, std::vector<std::int64_t> ids,
                                            const ShardScores& shard, const std::string& origin);

}  // namespace thresher::jobs
