#include "src/pool/memory_source.hpp"

#include <cstring>

#include "src/base/check.hpp"

namespace thresher {

namespace {

/// Nothing of what the pool does not have.
template <class T>
std::span<const T> part(const std::vector<T>& values, std::size_t first, std::size_t count) {
    if (values.empty()) return {};
    return std::span(values).subspan(first, count);
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
        const auto first = static_cast<std::size_t>(block.rows.begin);
        const auto count = static_cast<std::size_t>(block.rows.size());
        const auto row_bytes = static_cast<std::size_t>(pool_.info.bytes_per_row());
        block.inputs = std::span(pool_.inputs).subspan(first * row_bytes, count * row_bytes);
        block.ids = std::span(pool_.ids).subspan(first, count);
        block.targets = part(pool_.targets, first, count);
        block.image_ids = part(pool_.image_ids, first, count);
        const auto length = static_cast<std::size_t>(pool_.info.token_length);
        block.tokens = part(pool_.tokens, first * length, count * length);
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
        const auto row_bytes = static_cast<std::size_t>(pool_.info.bytes_per_row());
        examples.inputs.resize(positions.size() * row_bytes);
        examples.targets.resize(positions.size());
        examples.ids.resize(positions.size());
        examples.clean_targets.clear();
        examples.tokens.clear();
        examples.image_ids.clear();
        examples.caption_of.clear();
        const auto length = static_cast<std::size_t>(pool_.info.token_length);
        const auto append = [](auto& to, const auto& from, std::size_t first, std::size_t count) {
            const auto values = part(from, first, count);
            to.insert(to.end(), values.begin(), values.end());
        };
        for (std::size_t i = 0; i < positions.size(); ++i) {
            THRESHER_CHECK(positions[i] >= 0 && positions[i] < size(),
                           "position {} is outside the pool's {} rows", positions[i], size());
            const auto row = static_cast<std::size_t>(positions[i]);
            std::memcpy(examples.inputs.data() + i * row_bytes,
                        pool_.inputs.data() + row * row_bytes, row_bytes);
            examples.targets[i] = pool_.targets.empty() ? -1 : pool_.targets[row];
            examples.ids[i] = pool_.ids[row];
            append(examples.clean_targets, pool_.clean_targets, row, 1);
            append(examples.tokens, pool_.tokens, row * length, length);
            append(examples.image_ids, pool_.image_ids, row, 1);
            append(examples.caption_of, pool_.caption_of, row, 1);
        }
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
