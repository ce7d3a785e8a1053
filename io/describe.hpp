#pragma once

// What a file holds, in words for a person: `thresher info FILE`.

#include <string>

namespace thresher::io {

/// Text of several lines for a pool, shard directory, predictions, scores, batch, run, checkpoint
/// or labels file, and clear words for anything else. Throws FileError where `path` does not exist
/// or is broken. Local.
std::string describe(const std::string& path);

}  // namespace thresher::io
