#include <algorithm>
#include <cstring>
#include <future>
#include <list>
#include <mutex>
#include <numeric>
#include <unordered_map>

#include "io/pool/block_reader.hpp"
#include "src/base/check.hpp"
#include "src/pool/memory_source.hpp"

namespace thresher::io {

namespace {

/// Makes room for n rows of the pool in every column that it has.
void resize(const PoolInfo& info, std::size_t n, Examples& columns) {
    columns.inputs.resize(n * static_cast<std::size_t>(info.bytes_per_row()));
    columns.targets.resize(n);
    columns.ids.resize(n);
    columns.clean_targets.resize(info.has_clean_targets ? n : 0);
    columns.tokens.resize(n * static_cast<std::size_t>(info.token_length));
    columns.image_ids.resize(info.token_length > 0 ? n : 0);
    columns.caption_of.resize(info.has_caption_of ? n : 0);
    columns.boxes.resize(n * static_cast<std::size_t>(info.most_boxes));
    columns.image_sizes.resize(info.has_image_sizes ? 2 * n : 0);
}

/// Rows [begin, end) in memory.
struct Rows {
    RowRange rows;
    Examples columns;

    /// Row `row` of the pool becomes row i of `to`.
    void copy(std::int64_t row, Examples& to, std::size_t i) const {
        const auto local = static_cast<std::size_t>(row - rows.begin);
        visit_fields([&](auto field) {
            const auto& from = columns.*field;
            const std::size_t width = from.size() / static_cast<std::size_t>(rows.size());
            if (width == 0) return;
            std::memcpy((to.*field).data() + i * width, from.data() + local * width,
                        width * sizeof(from[0]));
        });
    }
};

PoolInfo info_of(const PoolFile& pool) {
    PoolInfo info = pool.info();
    info.most_boxes = pool.most_boxes();
    return info;
}

/// `info` is info_of(pool).
void read_rows(const PoolFile& pool, const PoolInfo& info, RowRange range, Rows& rows) {
    Examples& columns = rows.columns;
    rows.rows = range;
    resize(info, static_cast<std::size_t>(range.size()), columns);
    pool.read_inputs(range, columns.inputs);
    pool.read_targets(range, columns.targets);
    pool.read_ids(range, columns.ids);
    if (info.has_clean_targets) pool.read_clean_targets(range, columns.clean_targets);
    if (info.token_length > 0) {
        pool.read_tokens(range, columns.tokens);
        pool.read_image_ids(range, columns.image_ids);
    }
    if (info.has_caption_of) pool.read_caption_of(range, columns.caption_of);
    if (info.has_boxes) {
        pool.read_boxes(range, info.most_boxes, columns.boxes, columns.image_sizes);
    }
}

std::int64_t cached_bytes_per_row(const PoolInfo& pool) {
    Examples row;
    resize(pool, 1, row);
    std::int64_t bytes = 0;
    visit_fields([&](auto field) { bytes += std::ssize(std::as_bytes(std::span(row.*field))); });
    return bytes;
}

/// Whole blocks, the most recently used ones kept. Safe from two threads.
class BlockCache {
  public:
    BlockCache(const PoolFile& pool, const PoolInfo& info, std::int64_t cache_bytes)
        : pool_(pool),
          info_(info),
          partition_{info.rows, info.block_rows, 1},
          capacity_(static_cast<std::size_t>(std::max<std::int64_t>(
              2, cache_bytes / (partition_.block_rows * cached_bytes_per_row(info))))) {}

    using Entry = std::shared_ptr<const Rows>;

    std::int64_t block_of(std::int64_t row) const { return row / partition_.block_rows; }
    std::size_t capacity() const { return capacity_; }

    bool contains(std::int64_t block) const {
        const std::lock_guard guard(mutex_);
        return places_.contains(block);
    }

    Entry block(std::int64_t index) {
        {
            const std::lock_guard guard(mutex_);
            if (const auto place = places_.find(index); place != places_.end()) {
                recent_.splice(recent_.begin(), recent_, place->second);
                return recent_.front().second;
            }
        }
        auto rows = std::make_shared<Rows>();
        read_rows(pool_, info_, partition_.block(index), *rows);
        const std::lock_guard guard(mutex_);
        if (!places_.contains(index)) {
            recent_.emplace_front(index, rows);
            places_[index] = recent_.begin();
            if (recent_.size() > capacity_) {
                places_.erase(recent_.back().first);
                recent_.pop_back();
            }
        }
        return rows;
    }

  private:
    PoolFile pool_;
    PoolInfo info_;  ///< of the pool
    BlockPartition partition_;
    std::size_t capacity_;
    mutable std::mutex mutex_;
    std::list<std::pair<std::int64_t, Entry>> recent_;
    std::unordered_map<std::int64_t, std::list<std::pair<std::int64_t, Entry>>::iterator> places_;
};

class CachedExamples final : public ExampleSource {
  public:
    /// `rows` empty: all rows of the pool; `targets` empty: the pool's own.
    CachedExamples(const PoolFile& pool, std::vector<std::int64_t> rows,
                   std::vector<std::int64_t> targets, std::int64_t cache_bytes)
        : info_(info_of(pool)),
          rows_(std::move(rows)),
          targets_(std::move(targets)),
          cache_(pool, info_, cache_bytes) {
        if (!rows_.empty()) info_.rows = static_cast<std::int64_t>(rows_.size());
        if (!targets_.empty()) info_.has_targets = true;
    }
    ~CachedExamples() override { wait(); }
    CachedExamples(const CachedExamples&) = delete;
    CachedExamples& operator=(const CachedExamples&) = delete;

    const PoolInfo& info() const override { return info_; }
    std::int64_t size() const override { return info_.rows; }

    void fetch(std::span<const std::int64_t> positions, Examples& examples) override {
        wait();
        resize(info_, positions.size(), examples);
        // In row order, so that each block is looked up, and read, at most once.
        order_.resize(positions.size());
        std::iota(order_.begin(), order_.end(), std::size_t{0});
        std::sort(order_.begin(), order_.end(), [&](std::size_t a, std::size_t b) {
            return row_of(positions[a]) < row_of(positions[b]);
        });
        BlockCache::Entry block;
        for (const std::size_t i : order_) {
            const std::int64_t row = row_of(positions[i]);
            if (!block || row >= block->rows.end) block = cache_.block(cache_.block_of(row));
            block->copy(row, examples, i);
            if (!targets_.empty()) {
                examples.targets[i] = targets_[static_cast<std::size_t>(positions[i])];
            }
        }
    }

    void prefetch(std::span<const std::int64_t> positions) override {
        wait();
        std::vector<std::int64_t> blocks;
        for (std::int64_t position : positions) blocks.push_back(cache_.block_of(row_of(position)));
        std::sort(blocks.begin(), blocks.end());
        blocks.erase(std::unique(blocks.begin(), blocks.end()), blocks.end());
        std::erase_if(blocks, [&](std::int64_t block) { return cache_.contains(block); });
        if (blocks.empty()) return;
        if (blocks.size() > cache_.capacity()) blocks.resize(cache_.capacity());
        // A failed read is not reported here: fetch() meets it again, and throws.
        reading_ = std::async(std::launch::async, [this, blocks = std::move(blocks)] {
            for (std::int64_t block : blocks) cache_.block(block);
        });
    }

  private:
    std::int64_t row_of(std::int64_t position) const {
        THRESHER_CHECK(position >= 0 && position < info_.rows,
                       "position {} is outside the {} examples of {}", position, info_.rows,
                       info_.path);
        return rows_.empty() ? position : rows_[static_cast<std::size_t>(position)];
    }

    void wait() {
        if (reading_.valid()) reading_.wait();
        reading_ = {};
    }

    PoolInfo info_;
    std::vector<std::int64_t> rows_, targets_;
    BlockCache cache_;
    std::vector<std::size_t> order_;
    std::future<void> reading_;
};

/// Chosen rows, read once.
class ChosenExamples final : public ExampleSource {
  public:
    ChosenExamples(const PoolFile& pool, std::span<const std::int64_t> rows,
                   std::span<const std::int64_t> targets) {
        memory_.info = info_of(pool);
        memory_.info.rows = static_cast<std::int64_t>(rows.size());
        resize(memory_.info, rows.size(), memory_);
        gather(pool, rows);
        if (!targets.empty()) {
            memory_.targets.assign(targets.begin(), targets.end());
            memory_.info.has_targets = true;
        }
        examples_ = all_examples(memory_);
    }

    const PoolInfo& info() const override { return memory_.info; }
    std::int64_t size() const override { return memory_.info.rows; }
    void fetch(std::span<const std::int64_t> positions, Examples& examples) override {
        examples_->fetch(positions, examples);
    }

  private:
    /// Rows that lie close together are read in one go, up to a few MiB.
    void gather(const PoolFile& pool, std::span<const std::int64_t> rows) {
        const std::int64_t row_bytes = pool.info().bytes_per_row();
        const std::int64_t gap = std::max<std::int64_t>(1, (std::int64_t{64} << 10) / row_bytes);
        const std::int64_t most = std::max<std::int64_t>(1, (std::int64_t{8} << 20) / row_bytes);
        std::vector<std::size_t> order(rows.size());
        std::iota(order.begin(), order.end(), std::size_t{0});
        std::sort(order.begin(), order.end(), [&](auto a, auto b) { return rows[a] < rows[b]; });
        Rows run;
        for (std::size_t first = 0, last = 0; first < order.size(); first = last) {
            const std::int64_t begin = rows[order[first]];
            last = first + 1;
            while (last < order.size() && rows[order[last]] - rows[order[last - 1]] <= gap &&
                   rows[order[last]] - begin < most) {
                ++last;
            }
            read_rows(pool, memory_.info, {begin, rows[order[last - 1]] + 1}, run);
            for (std::size_t i = first; i < last; ++i) run.copy(rows[order[i]], memory_, order[i]);
        }
    }

    MemoryPool memory_;
    std::unique_ptr<ExampleSource> examples_;
};

}  // namespace

std::unique_ptr<ExampleSource> make_example_source(const PoolFile& pool, std::int64_t cache_bytes) {
    return std::make_unique<CachedExamples>(pool, std::vector<std::int64_t>{},
                                            std::vector<std::int64_t>{}, cache_bytes);
}

std::unique_ptr<ExampleSource> make_example_source(const PoolFile& pool,
                                                   std::span<const std::int64_t> rows,
                                                   std::int64_t cache_bytes,
                                                   std::span<const std::int64_t> targets) {
    THRESHER_CHECK(targets.empty() || targets.size() == rows.size(),
                   "{} targets for {} chosen rows of {}", targets.size(), rows.size(),
                   pool.info().path);
    THRESHER_CHECK(!rows.empty(), "{}: no rows were chosen", pool.info().path);
    for (std::int64_t row : rows) {
        THRESHER_CHECK(row >= 0 && row < pool.info().rows, "row {} is outside the {} rows of {}",
                       row, pool.info().rows, pool.info().path);
    }
    if (std::ssize(rows) * cached_bytes_per_row(info_of(pool)) <= cache_bytes) {
        return std::make_unique<ChosenExamples>(pool, rows, targets);
    }
    return std::make_unique<CachedExamples>(
        pool, std::vector<std::int64_t>(rows.begin(), rows.end()),
        std::vector<std::int64_t>(targets.begin(), targets.end()), cache_bytes);
}

}  // namespace thresher::io
