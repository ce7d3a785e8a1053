#pragma once

// The rows of one rank that can still be chosen, found in one pass over its scores.

#include <algorithm>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "src/base/huge_pages.hpp"
#include "src/selection/keys.hpp"

namespace thresher {

/// Where the candidates of all pieces are kept: few large allocations instead of two small ones a
/// piece. Safe from any thread.
class CandidateStore {
  public:
    /// A copy of `values` that lives as long as the store.
    std::span<const std::uint32_t> keep(std::span<const std::uint32_t> values) {
        std::span<std::uint32_t> room;
        {
            const std::lock_guard lock(mutex_);
            if (values.size() > free_.size()) {
                const std::size_t size = std::max(values.size(), next_block_);
                next_block_ = kBlock;
                blocks_.push_back(make_huge_buffer<std::uint32_t>(size));
                free_ = std::span(blocks_.back().get(), size);
            }
            room = free_.first(values.size());
            free_ = free_.subspan(values.size());
        }
        std::copy(values.begin(), values.end(), room.begin());
        return room;
    }

  private:
    static constexpr std::size_t kBlock = std::size_t{4} << 20;

    std::mutex mutex_;
    std::vector<HugeBuffer<std::uint32_t>> blocks_;
    std::span<std::uint32_t> free_;
    std::size_t next_block_ = std::size_t{1} << 16;  ///< small, for small pools
};

/// The candidates among consecutive rows, in ascending order of offset.
struct Piece {
    std::span<const std::uint32_t> keys, offsets;
};

/// Candidates of this rank in pieces of consecutive rows, and the rows with no finite score.
struct Candidates {
    std::unique_ptr<CandidateStore> store;
    std::vector<Piece> pieces;
    std::vector<std::uint32_t> not_finite;

    std::vector<std::span<const std::uint32_t>> keys() const {
        std::vector<std::span<const std::uint32_t>> spans;
        for (const Piece& piece : pieces) spans.emplace_back(piece.keys);
        return spans;
    }
    std::int64_t count() const {
        std::int64_t sum = 0;
        for (const Piece& piece : pieces) sum += static_cast<std::int64_t>(piece.keys.size());
        return sum;
    }
};

/// The rows among the rank's `rows` rows whose key is at least `threshold`. Local.
Candidates find_candidates(const Keys& keys, std::int64_t rows, float threshold);

}  // namespace thresher
