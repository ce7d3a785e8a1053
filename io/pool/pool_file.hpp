#pragma once

// Reading pools: one HDF5 file, a directory of shard files with manifest.json, or a user's own HDF5
// file. Everything is checked at the border, and all problems of a pool are reported together.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "src/pool/blocks.hpp"
#include "src/pool/boxes.hpp"
#include "src/pool/pool_info.hpp"
#include "src/pool/quarantine.hpp"

namespace thresher::io {

/// Where a user's own file keeps its data, and what it does not say of itself.
struct PoolPaths {
    std::string inputs = "/inputs";
    std::string targets = "/targets";
    std::int64_t classes =
        0;  ///< 0: from class_names, the attribute `classes`, or the largest target
};

/// An open pool. Copies share the open files; all reads are safe from any thread. Reads throw
/// FileError naming file, dataset and rows. All functions are local.
class PoolFile {
  public:
    const PoolInfo& info() const;

    /// Rows [begin, end) into `inputs` [rows, ...] of info().element_type.
    void read_inputs(RowRange rows, std::span<std::byte> inputs) const;
    /// `targets` [rows]; -1 where unknown, where the pool has none, and where the value in the file
    /// is out of range (see bad_targets).
    void read_targets(RowRange rows, std::span<std::int64_t> targets) const;
    /// As read_targets, from /clean_targets; -1 throughout where the pool has none.
    void read_clean_targets(RowRange rows, std::span<std::int64_t> targets) const;
    void read_ids(RowRange rows, std::span<std::int64_t> ids) const;
    /// The rows' ids in the pool this one was derived from; the own ids where it was not derived.
    void read_source_ids(RowRange rows, std::span<std::int64_t> ids) const;
    /// Empty strings where the pool has no names.
    std::vector<std::string> read_names(RowRange rows) const;
    /// Bytes that the longest name needs at most; 0 where the pool has none. Reads all names where
    /// the file says nothing of their length.
    std::int64_t name_bytes() const;

    /// `tokens` [rows, info().token_length]. Throws FileError also for a token that is not below
    /// info().vocabulary.
    void read_tokens(RowRange rows, std::span<std::int32_t> tokens) const;
    /// Empty strings where the pool has none; caption_bytes as name_bytes.
    std::vector<std::string> read_captions(RowRange rows) const;
    std::int64_t caption_bytes() const;
    /// The ids where the pool does not say that rows share an image.
    void read_image_ids(RowRange rows, std::span<std::int64_t> image_ids) const;
    bool has_image_ids() const;
    /// -1 throughout where no captions were shuffled.
    void read_caption_of(RowRange rows, std::span<std::int64_t> image_ids) const;
    /// The model that makes tokens of text (src/pool/vocabulary.hpp). Throws FileError where the
    /// pool does not hold it.
    std::string vocabulary() const;
    bool has_vocabulary() const;

    /// The boxes of the rows; none where the pool has none. Throws FileError also for offsets that
    /// make no sense, a box without area, and a class that is not below info().classes.
    void read_boxes(RowRange rows, Boxes& boxes) const;
    /// The same as `boxes` [rows, most_boxes], the objects of a row first, and `image_sizes` [rows,
    /// 2], empty unless info().has_image_sizes. Throws FileError also for a row with more.
    void read_boxes(RowRange rows, std::int64_t most_boxes, std::span<LabelledBox> boxes,
                    std::span<std::int32_t> image_sizes) const;
    /// Of a row; 0 where the pool has none. One pass over their offsets.
    std::int64_t most_boxes() const;

    /// The rows of [begin, end) whose target is below -1 or not below info().classes. One pass over
    /// their targets.
    std::vector<QuarantinedRow> bad_targets(RowRange rows) const;

    /// Row of each id, in the order of `ids`. Throws FileError naming the first few ids the pool
    /// lacks. Where ids are stored, one pass over /ids with memory for `ids` alone.
    std::vector<std::int64_t> rows_of(std::span<const std::int64_t> ids) const;
    /// Id of each row. Throws FileError for a row the pool does not have.
    std::vector<std::int64_t> ids_of(std::span<const std::int64_t> rows) const;
    /// Target of each id, as read_targets gives it. Throws as rows_of.
    std::vector<std::int64_t> targets_of(std::span<const std::int64_t> ids) const;
    /// Name of each id; empty strings where the pool has no names. Throws as rows_of.
    std::vector<std::string> names_of(std::span<const std::int64_t> ids) const;

    struct Contents;
    explicit PoolFile(std::shared_ptr<const Contents> contents) : contents_(std::move(contents)) {}

  private:
    std::shared_ptr<const Contents> contents_;
};

/// Opens and checks a pool. Throws FileError listing every problem found. Local.
PoolFile open_pool(const std::string& path, const PoolPaths& paths = {});

}  // namespace thresher::io
