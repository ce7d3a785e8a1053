#pragma once

// manifest.json of a pool that is a directory of shard files: which files, how many rows, their
// checksums.

#include <cstdint>
#include <string>
#include <vector>

namespace thresher::io {

struct ShardEntry {
    std::string path;  ///< in the manifest: relative to the directory
    std::int64_t first_row = 0, rows = 0;
    std::int64_t bytes = 0;  ///< size of the file
    std::string checksum;    ///< of its content
};

struct ShardManifest {
    std::vector<ShardEntry> shards;
    std::int64_t classes = 0;  ///< over all shards; 0 where there are no targets

    std::int64_t rows() const {
        return shards.empty() ? 0 : shards.back().first_row + shards.back().rows;
    }
};

/// Reads `directory`/manifest.json; the paths returned include the directory. Adds to `problems`
/// what is wrong: shards missing or of another size, row counts that make no sense. Throws
/// FileError where there is no manifest, or where it is no JSON of this kind. Local.
ShardManifest read_manifest(const std::string& directory, std::vector<std::string>& problems);

/// Replaces manifest.json atomically. Throws FileError. Local.
void write_manifest(const std::string& directory, const ShardManifest& manifest);

}  // namespace thresher::io
