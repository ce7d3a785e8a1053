#include "src/pool/block_slices.hpp"

#include <algorithm>
#include <bit>
#include <utility>

namespace thresher {

namespace {

constexpr std::int64_t kSliceBytes = std::int64_t{64} << 20;

class BlockSlices final : public BlockSource {
  public:
    BlockSlices(std::unique_ptr<BlockSource> source, std::int64_t rows)
        : source_(std::move(source)), rows_(rows) {}

    const PoolInfo& info() const override { return source_->info(); }
    RowRange owned_rows() const override { return source_->owned_rows(); }
    double seconds_waiting() const override { return source_->seconds_waiting(); }

    void rewind() override {
        source_->rewind();
        block_ = {};
        done_ = 0;
    }

    bool next(Block& slice) override {
        if (done_ >= block_.rows.size()) {
            if (!source_->next(block_)) return false;
            done_ = 0;
        }
        const std::int64_t count = std::min(rows_, block_.rows.size() - done_);
        const auto part = [&](auto all) {
            const std::size_t width = all.size() / static_cast<std::size_t>(block_.rows.size());
            return all.subspan(static_cast<std::size_t>(done_) * width,
                               static_cast<std::size_t>(count) * width);
        };
        const std::int64_t first = block_.rows.begin + done_;
        slice.rows = {first, first + count};
        visit_columns([&](auto column, auto) { slice.*column = part(block_.*column); });
        done_ += count;
        return true;
    }

  private:
    std::unique_ptr<BlockSource> source_;
    std::int64_t rows_;
    Block block_;
    std::int64_t done_ = 0;  ///< rows of the block that were handed out
};

}  // namespace

std::unique_ptr<BlockSource> slice_blocks(std::unique_ptr<BlockSource> source,
                                          std::int64_t bytes_per_row) {
    const auto most = static_cast<std::uint64_t>(
        std::max<std::int64_t>(1, kSliceBytes / std::max<std::int64_t>(1, bytes_per_row)));
    return std::make_unique<BlockSlices>(std::move(source),
                                         static_cast<std::int64_t>(std::bit_floor(most)));
}

}  // namespace thresher
