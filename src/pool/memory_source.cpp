#include "src/pool/memory_source.hpp"

#include <algorithm>

#include "src/base/check.hpp"

namespace thresher {

namespace {

/// Values of one row; 0 of what the pool does not have.
template <class T>
std::int64_t row_width(const MemoryPool& pool, const std::vector<T>& values) {
    return std::ssize(values) / std::max<std::int64_t>(1, pool.info.rows);
}

class MemoryBlocks final : public BlockSource {
  public:
    MemoryBlocks(const MemoryPool& pool, int rank, int ranks)
        : pool_(pool),
          partition_{pool.info.rows, pool.info.block_rows, ranks},
          blocks_(partition_.owned_blocks(rank)),
          rows_(partition_.owned_rows(rank)),
          next_(blocks_.begin) {}

    const PoolInfo& info() const override { return pool_.info; }
    RowRange owned_rows() const override { return rows_; }
    double seconds_waiting() const override { return 0.0; }
    void rewind() override { next_ = blocks_.begin; }

    bool next(Block& block) override {
        if (next_ >= blocks_.end) return false;
        block.rows = partition_.block(next_++);
        const auto part = [&](const auto& values) {
            const std::int64_t width = row_width(pool_, values);
            return std::span(values).subspan(static_cast<std::size_t>(block.rows.begin * width),
                                             static_cast<std::size_t>(block.rows.size() * width));
        };
        visit_columns([&](auto column, auto field) { block.*column = part(pool_.*field); });
        return true;
    }

  private:
    const MemoryPool& pool_;
    BlockPartition partition_;
    RowRange blocks_, rows_;
    std::int64_t next_;
};

class MemoryExamples final : public ExampleSource {
  public:
    explicit MemoryExamples(const MemoryPool& pool) : pool_(pool) {}
    const PoolInfo& info() const override { return pool_.info; }
    std::int64_t size() const override { return pool_.info.rows; }

    void fetch(std::span<const std::int64_t> positions, Examples& examples) override {
        for (const std::int64_t position : positions) {
            THRESHER_CHECK(position >= 0 && position < size(),
                           "position {} is outside the pool's {} rows", position, size());
        }
        visit_fields([&](auto field) {
            const auto& from = pool_.*field;
            auto& to = examples.*field;
            const std::int64_t width = row_width(pool_, from);
            to.clear();
            for (const std::int64_t position : positions) {
                const auto row = from.begin() + position * width;
                to.insert(to.end(), row, row + width);
            }
        });
        if (pool_.targets.empty()) examples.targets.assign(positions.size(), -1);
    }

  private:
    const MemoryPool& pool_;
};

}  // namespace

std::unique_ptr<BlockSource> stream_blocks(const MemoryPool& pool, int rank, int ranks) {
    return std::make_unique<MemoryBlocks>(pool, rank, ranks);
}

std::unique_ptr<ExampleSource> all_examples(const MemoryPool& pool) {
    return std::make_unique<MemoryExamples>(pool);
}

}  // namespace thresher
