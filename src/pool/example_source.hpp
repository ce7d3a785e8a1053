#pragma once

// The two ways in which examples reach the science: streamed block by block for scoring, and
// fetched in the order of an epoch for training. io/ has the bodies that read HDF5; tests use
// vectors in memory.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "src/pool/blocks.hpp"
#include "src/pool/boxes.hpp"
#include "src/pool/pool_info.hpp"

namespace thresher {

/// Consecutive rows in memory. The spans stay valid until the next call on the source.
struct Block {
    RowRange rows;
    std::span<const std::byte> inputs;      ///< [rows, ...] of PoolInfo::element_type
    std::span<const std::int64_t> targets;  ///< [rows]; -1 = unknown; empty where the pool has none
    std::span<const std::int64_t> ids;      ///< [rows]
    /// [rows, L] and [rows]; empty where the pool has no text. Rows with the same image share an
    /// image id.
    std::span<const std::int32_t> tokens{};
    std::span<const std::int64_t> image_ids{};
    /// [rows, PoolInfo::most_boxes] and [rows, 2], as those of Examples; empty where the pool has
    /// none.
    std::span<const LabelledBox> boxes{};
    std::span<const std::int32_t> image_sizes{};
};

/// Streams the blocks this rank owns, in ascending order. Local.
class BlockSource {
  public:
    virtual ~BlockSource() = default;
    virtual const PoolInfo& info() const = 0;
    virtual RowRange owned_rows() const = 0;
    /// False once all owned blocks were handed out. Throws FileError where a read fails.
    virtual bool next(Block& block) = 0;
    /// Back to the first owned block.
    virtual void rewind() = 0;
    /// Seconds next() made the caller wait for the disk so far.
    virtual double seconds_waiting() const = 0;
};

/// Examples gathered from anywhere in the set; buffers are reused between calls.
struct Examples {
    std::vector<std::byte> inputs;      ///< [n, ...] of PoolInfo::element_type
    std::vector<std::int64_t> targets;  ///< [n]; -1 = unknown
    std::vector<std::int64_t> ids;      ///< [n]
    /// [n], the truth behind noisy targets, -1 = unknown; empty where the pool has none. Nothing
    /// learns from it.
    std::vector<std::int64_t> clean_targets;
    std::vector<std::int32_t> tokens;     ///< [n, L], 0 = padding; empty where there is no text
    std::vector<std::int64_t> image_ids;  ///< [n], of the image shown; empty as tokens are
    /// [n], the image that the caption was written for, -1 = unknown; empty where the pool does not
    /// say. Nothing learns from it.
    std::vector<std::int64_t> caption_of;
    /// [n, PoolInfo::most_boxes], those of a row first, then ones that are no object; empty where
    /// the pool has none.
    std::vector<LabelledBox> boxes;
    /// [n, 2], height and width of the original image; empty where the pool has none.
    std::vector<std::int32_t> image_sizes;
};

/// Calls visit(&Examples::inputs), and so on for every field: what is added to Examples is added
/// here.
template <class Visit>
void visit_fields(const Visit& visit) {
    visit(&Examples::inputs);
    visit(&Examples::targets);
    visit(&Examples::ids);
    visit(&Examples::clean_targets);
    visit(&Examples::tokens);
    visit(&Examples::image_ids);
    visit(&Examples::caption_of);
    visit(&Examples::boxes);
    visit(&Examples::image_sizes);
}

/// Calls visit(&Block::inputs, &Examples::inputs), and so on for every column of a block: what is
/// added to Block is added here.
template <class Visit>
void visit_columns(const Visit& visit) {
    visit(&Block::inputs, &Examples::inputs);
    visit(&Block::targets, &Examples::targets);
    visit(&Block::ids, &Examples::ids);
    visit(&Block::tokens, &Examples::tokens);
    visit(&Block::image_ids, &Examples::image_ids);
    visit(&Block::boxes, &Examples::boxes);
    visit(&Block::image_sizes, &Examples::image_sizes);
}

/// Examples by position in [0, size()); a whole pool, or chosen rows of one. Every rank sees all of
/// them.
class ExampleSource {
  public:
    virtual ~ExampleSource() = default;
    virtual const PoolInfo& info() const = 0;
    virtual std::int64_t size() const = 0;
    /// Fills `examples` with the given positions, in the given order. Positions near each other are
    /// cheap: blocks are read whole and the last ones kept. Throws FileError. Local.
    virtual void fetch(std::span<const std::int64_t> positions, Examples& examples) = 0;
    /// A hint that these positions come next; may read them in the background. Local.
    virtual void prefetch(std::span<const std::int64_t> positions) { static_cast<void>(positions); }
};

}  // namespace thresher
