#pragma once

// Who labels the rows of a loop: the pool's targets, or a person, by a file.

#include <cstdint>
#include <string>
#include <vector>

#include "io/pool/pool_file.hpp"
#include "jobs/options/loop_options.hpp"
#include "jobs/steps/loop/loop_state.hpp"

namespace thresher::jobs {

/// What the first rows of a loop must have.
enum class FirstRows {
    any,
    with_targets,  ///< known ones
    covering,      ///< of a pool with boxes: a box of each class, where so many rows can
};

/// `count` ids that are labelled before the first cycle of a repeat: the same for every
/// acquisition. Throws UsageError where too few have targets. Local.
std::vector<std::int64_t> initial_rows(const io::PoolFile& pool, std::int64_t count,
                                       std::uint64_t seed, std::int64_t repeat, FirstRows kind);

/// Adds ids with the pool's targets; of a pool with boxes, with main_class(), which agents go by.
/// Throws the same error on all ranks. Collective.
void label_by_pool(Collective& collective, const io::PoolFile& pool,
                   const std::vector<std::int64_t>& ids, LoopTrack& track);

/// Adds the pending batch with the labels of a file, and leaves none pending. Throws the same
/// FileError on all ranks where one has no label there. Collective.
void take_labels(Collective& collective, const io::PoolFile& pool, const std::string& path,
                 LoopState& state, LoopTrack& track);

/// Writes the pending batch as `path` and as csv beside it. One that is there already is left as it
/// is: a person may have begun to fill it in. Throws the same error on all ranks. Collective.
void write_pending(Job& job, const std::string& path, const PoolOptions& pool_options,
                   const io::PoolFile& pool, const Method& method, const LoopState& state);

}  // namespace thresher::jobs
