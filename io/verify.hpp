#pragma once

// Whether files still hold what was written: all that has a checksum is read and compared.

#include <cstdint>
#include <string>

namespace thresher::io {

/// `path` is a pool that is a directory of shards, a batch file, or a run directory (its
/// checkpoints). Returns how many checksums were compared. Throws FileError naming every file that
/// does not match, or where `path` has no checksums. Reads everything. Local.
std::int64_t verify(const std::string& path);

}  // namespace thresher::io
