#pragma once

// What an open pool is made of: its shards, of which the last few stay open, and how a run of rows
// is read from them. Used inside io.

#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "io/pool/pool_file.hpp"
#include "io/pool/pool_shard.hpp"
#include "io/pool/shard_manifest.hpp"

namespace thresher::io {

struct PoolFile::Contents {
    using Column = std::optional<hdf5::Dataset> PoolShard::*;

    PoolInfo info;
    bool has_image_ids = false;
    PoolPaths paths;
    ShardManifest manifest;  ///< one shard for a pool that is one file

    std::shared_ptr<const PoolShard> shard(std::size_t index) const;
    void remember(std::size_t index, std::shared_ptr<const PoolShard> opened) const;

    /// Adds to `problems` in what a shard that should have so many rows differs from the first.
    void compare(const PoolShard& shard, std::int64_t rows,
                 std::vector<std::string>& problems) const;

    /// Calls body(shard, rows within the shard, rows already done) for each shard that `rows`
    /// touch.
    void for_each_part(
        RowRange rows,
        const std::function<void(const PoolShard&, RowRange, std::int64_t)>& body) const;

    /// An i64 column; -1 where a shard has none.
    void read_column(RowRange rows, std::span<std::int64_t> values, Column column) const;
    /// The same of classes; -1 also for what is no class.
    void read_classes(RowRange rows, std::span<std::int64_t> targets, Column column) const;
    /// A text column; empty strings where a shard has none.
    std::vector<std::string> read_text(RowRange rows, Column column) const;
    /// The boxes of the rows; none where a shard has none.
    void read_boxes(RowRange rows, Boxes& boxes) const;
    std::int64_t most_boxes() const;
    /// Bytes that the longest text of the column needs at most; 0 where there is none.
    std::int64_t text_bytes(Column column) const;

    /// Calls body(first row, ids) over all rows.
    void for_each_ids(
        const std::function<void(std::int64_t, std::span<const std::int64_t>)>& body) const;
    /// Largest target or class of a box + 1, for files that do not say how many classes there are.
    std::int64_t count_classes() const;

    mutable std::list<std::pair<std::size_t, std::shared_ptr<const PoolShard>>> open_shards;
};

}  // namespace thresher::io
