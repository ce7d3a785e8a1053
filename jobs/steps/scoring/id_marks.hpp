#pragma once

// Sets of ids that the user names in files, as marks on the rows of each rank.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "jobs/job.hpp"
#include "src/pool/blocks.hpp"

namespace thresher::jobs {

/// The ids in files of ids, on all ranks. Throws the same FileError on all ranks. Collective.
std::vector<std::int64_t> read_ids(Job& job, const std::vector<std::string>& files);

/// The rows of one rank and their ids.
struct OwnRows {
    RowRange rows;
    std::span<const std::int64_t> ids;  ///< [rows]; empty where ids equal rows
};

/// [own rows]: 1 where the row's id is among `ids`, which are the same on all ranks; empty where
/// there are none. Throws FileError, naming `origin`, for ids no rank has. Collective.
std::vector<std::uint8_t> mark_ids(Collective& collective, std::vector<std::int64_t> ids,
                                   const OwnRows& own, const std::string& origin);

}  // namespace thresher::jobs
