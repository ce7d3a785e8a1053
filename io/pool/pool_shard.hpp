#pragma once

// One HDF5 file of a pool, opened and checked. Used inside io.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/hdf5/file.hpp"
#include "io/pool/pool_boxes.hpp"
#include "io/pool/pool_file.hpp"

namespace thresher::io {

struct PoolShard {
    explicit PoolShard(hdf5::File opened) : file(std::move(opened)) {}

    hdf5::File file;
    std::optional<hdf5::Dataset> inputs, targets, clean_targets, ids, source_ids, names;
    std::optional<hdf5::Dataset> tokens, captions, image_ids, caption_of;
    std::optional<StoredBoxes> boxes;
    PoolInfo info;  ///< of this file alone; classes 0 where only the targets themselves can tell
};

/// Opens `path` and adds what is wrong with it as a pool to `problems`. Throws FileError where it
/// cannot be opened at all. Local.
std::unique_ptr<PoolShard> open_pool_shard(const std::string& path, const PoolPaths& paths,
                                           std::vector<std::string>& problems);

/// Throws FileError listing `problems`, if there are any.
void fail_with_problems(const std::string& path, const std::string& expected,
                        const std::vector<std::string>& problems);

}  // namespace thresher::io
