#pragma once

// A checkpoint is a directory checkpoints/NNNNNN of named files with a manifest.json (sizes,
// checksums). It is written aside as NNNNNN.tmp, fsynced, agreed on by all ranks and renamed; so a
// job killed at any instant finds the last whole one.

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "src/base/collective.hpp"

namespace thresher::io {

/// File name -> its bytes. Names are plain, such as "model.bin".
using CheckpointFiles = std::map<std::string, std::string>;

/// Calls `files` on the root and writes what it returns as checkpoint number `step` under
/// `directory` (RunDirectory::checkpoints()); then removes all but the newest two. Throws the same
/// error on all ranks. Collective.
void write_checkpoint(const std::string& directory, std::int64_t step, Collective& collective,
                      const std::function<CheckpointFiles()>& files);

struct Checkpoint {
    std::int64_t step = 0;
    std::string path;
    CheckpointFiles files;             ///< on every rank
    std::vector<std::string> refused;  ///< newer ones that are damaged, each with the reason
};

/// The newest checkpoint that is whole; damaged ones are passed over (and logged). Nothing where
/// there is none. The root reads, the others get the bytes from it. Throws the same FileError on
/// all ranks where checkpoints exist but all are damaged. Collective.
std::optional<Checkpoint> load_newest_checkpoint(const std::string& directory,
                                                 Collective& collective);

/// Why each checkpoint under `directory` that is not whole is not; adds to `compared` how many
/// there are. Local.
std::vector<std::string> damaged_checkpoints(const std::string& directory, std::int64_t& compared);

}  // namespace thresher::io
