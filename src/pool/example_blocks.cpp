#include "src/pool/example_blocks.hpp"

#include <numeric>

namespace thresher {
namespace {

class ExampleBlocks final : public BlockSource {
  public:
    ExampleBlocks(ExampleSource& source, int rank, int ranks, std::int64_t block_rows)
        : source_(source),
          info_(source.info()),
          partition_{source.size(), block_rows, ranks},
          blocks_(partition_.owned_blocks(rank)),
          rows_(partition_.owned_rows(rank)),
          next_(blocks_.begin) {
        info_.rows = source.size();
        info_.block_rows = block_rows;
    }

    const PoolInfo& info() const override { return info_; }
    RowRange owned_rows() const override { return rows_; }
    double seconds_waiting() const override { return 0.0; }
    void rewind() override { next_ = blocks_.begin; }

    bool next(Block& block) override {
        if (next_ == blocks_.end) return false;
        block.rows = partition_.block(next_++);
        positions_.resize(static_cast<std::size_t>(block.rows.size()));
        std::iota(positions_.begin(), positions_.end(), block.rows.begin);
        source_.fetch(positions_, examples_);
        visit_columns([&](auto column, auto field) { block.*column = examples_.*field; });
        return true;
    }

  private:
    ExampleSource& source_;
    PoolInfo info_;
    BlockPartition partition_;
    RowRange blocks_, rows_;
    std::int64_t next_;
    std::vector<std::int64_t> positions_;
    Examples examples_;
};

}  // namespace

std::unique_ptr<BlockSource> blocks_of_examples(ExampleSource& source, int rank, int ranks,
                                                std::int64_t block_rows) {
    return std::make_unique<ExampleBlocks>(source, rank, ranks, block_rows);
}

}  // namespace thresher
