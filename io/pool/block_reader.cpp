#include "io/pool/block_reader.hpp"

#include "io/pool/read_ahead.hpp"
#include "src/base/check.hpp"

namespace thresher::io {

namespace {

struct BlockBuffer {
    RowRange rows;
    std::vector<std::byte> inputs;
    std::vector<std::int64_t> targets, ids, image_ids;
    std::vector<std::int32_t> tokens, image_sizes;
    std::vector<LabelledBox> boxes;
};

class BlockReader final : public BlockSource {
  public:
    BlockReader(const PoolFile& pool, int rank, int ranks, std::int64_t block_rows)
        : pool_(pool),
          info_(info_of(pool, block_rows)),
          partition_{info_.rows, info_.block_rows, ranks},
          rows_(partition_.owned_rows(rank)),
          blocks_(partition_.owned_blocks(rank),
                  [this](std::int64_t block, BlockBuffer& buffer) { read(block, buffer); }) {}

    const PoolInfo& info() const override { return info_; }
    RowRange owned_rows() const override { return rows_; }
    double seconds_waiting() const override { return blocks_.seconds_waiting(); }
    void rewind() override { blocks_.rewind(); }

    bool next(Block& block) override {
        const BlockBuffer* buffer = blocks_.next();
        if (buffer == nullptr) return false;
        block = {buffer->rows,   buffer->inputs,    buffer->targets, buffer->ids,
                 buffer->tokens, buffer->image_ids, buffer->boxes,   buffer->image_sizes};
        return true;
    }

  private:
    static PoolInfo info_of(const PoolFile& pool, std::int64_t block_rows) {
        PoolInfo info = pool.info();
        info.most_boxes = pool.most_boxes();
        if (block_rows > 0) info.block_rows = block_rows;
        return info;
    }

    void read(std::int64_t block, BlockBuffer& buffer) const {
        buffer.rows = partition_.block(block);
        const auto count = static_cast<std::size_t>(buffer.rows.size());
        buffer.inputs.resize(count * static_cast<std::size_t>(info_.bytes_per_row()));
        buffer.ids.resize(count);
        pool_.read_inputs(buffer.rows, buffer.inputs);
        pool_.read_ids(buffer.rows, buffer.ids);
        if (info_.has_targets) {
            buffer.targets.resize(count);
            pool_.read_targets(buffer.rows, buffer.targets);
        }
        if (info_.token_length > 0) {
            buffer.tokens.resize(count * static_cast<std::size_t>(info_.token_length));
            buffer.image_ids.resize(count);
            pool_.read_tokens(buffer.rows, buffer.tokens);
            pool_.read_image_ids(buffer.rows, buffer.image_ids);
        }
        if (info_.has_boxes) {
            buffer.boxes.resize(count * static_cast<std::size_t>(info_.most_boxes));
            buffer.image_sizes.resize(info_.has_image_sizes ? 2 * count : 0);
            pool_.read_boxes(buffer.rows, info_.most_boxes, buffer.boxes, buffer.image_sizes);
        }
    }

    PoolFile pool_;
    PoolInfo info_;
    BlockPartition partition_;
    RowRange rows_;
    ReadAhead<BlockBuffer> blocks_;
};

}  // namespace

std::unique_ptr<BlockSource> make_block_reader(const PoolFile& pool, int rank, int ranks,
                                               std::int64_t block_rows) {
    THRESHER_CHECK(rank >= 0 && rank < ranks && block_rows >= 0,
                   "a block reader for rank {} of {} with blocks of {} rows", rank, ranks,
                   block_rows);
    return std::make_unique<BlockReader>(pool, rank, ranks, block_rows);
}

}  // namespace thresher::io
