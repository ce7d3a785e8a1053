#pragma once

// The rows of one rank that can still be chosen, found in one pass over its scores.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "src/base/huge_pages.hpp"
#include "src/selection/ordered_key.hpp"
#include "src/selection/scan.hpp"
#include "src/selection/select.hpp"

namespace thresher {

/// The keys of one rank's rows: the score itself, or the perturbed logit less a centre near the
/// cut.
class Keys {
  public:
    /// `logits` [n]: what the noise is added to, in place of the scores; not finite where the score
    /// is not.
    Keys(const ScoredRows& rows, std::span<const float> logits, const Selector& selector)
        : rows_(rows),
          logits_(logits),
          noisy_(selector.name != "top-k"),
          gumbel_{KeyedRandom(selector.seed, Stream::selection, selector.round), selector.beta,
                  0.0} {}

    bool noisy() const { return noisy_; }
    double centre() const { return gumbel_.centre; }
    void set_centre(double centre) { gumbel_.centre = centre; }

    /// The ordered key of one row; 0, below every other, for a row that may not be chosen.
    std::uint32_t key(std::size_t offset) const {
        if (excluded(offset) || !std::isfinite(logits_[offset])) return 0;
        float key = logits_[offset];
        if (noisy_) {
            const std::uint64_t bits = gumbel_.random.bits(rows_.id(offset));
            gumbel_.compute(logits_.subspan(offset, 1), std::span(&bits, 1), std::span(&key, 1));
        }
        return ordered_key(key);
    }

    /// The rows of [begin, end) that may be chosen and whose key is at least `threshold`.
    void collect(std::size_t begin, std::size_t end, float threshold, Candidates& candidates,
                 std::vector<std::uint32_t>& not_finite) const {
        const auto piece = logits_.subspan(begin, end - begin);
        const auto first = static_cast<std::uint32_t>(begin);
        if (!noisy_) {
            scan_scores(piece, first, threshold, candidates, not_finite);
        } else if (rows_.ids.empty()) {
            scan_gumbel_keys(piece, first, rows_.id(begin), gumbel_, threshold, candidates,
                             not_finite);
        } else {
            collect_noisy_by_id(piece, first, threshold, candidates, not_finite);
        }
        if (!rows_.excluded.empty()) drop_excluded(candidates, not_finite);
    }

  private:
    bool excluded(std::size_t offset) const {
        return !rows_.excluded.empty() && rows_.excluded[offset] != 0;
    }

    /// Ids in any order: every row's key is computed.
    void collect_noisy_by_id(std::span<const float> piece, std::uint32_t first, float threshold,
                             Candidates& candidates, std::vector<std::uint32_t>& not_finite) const {
        std::vector<std::uint64_t> bits(piece.size());
        std::vector<float> keys(piece.size());
        for (std::size_t i = 0; i < piece.size(); ++i) {
            bits[i] = gumbel_.random.bits(rows_.id(first + i));
        }
        gumbel_.compute(piece, bits, keys);
        for (std::size_t i = 0; i < piece.size(); ++i) {
            const auto offset = static_cast<std::uint32_t>(first + i);
            if (!std::isfinite(piece[i])) {
                not_finite.push_back(offset);
            } else if (keys[i] >= threshold) {
                candidates.keys.push_back(ordered_key(keys[i]));
                candidates.offsets.push_back(offset);
            }
        }
    }

    void drop_excluded(Candidates& candidates, std::vector<std::uint32_t>& not_finite) const {
        std::size_t kept = 0;
        for (std::size_t i = 0; i < candidates.offsets.size(); ++i) {
            if (excluded(candidates.offsets[i])) continue;
            candidates.keys[kept] = candidates.keys[i];
            candidates.offsets[kept++] = candidates.offsets[i];
        }
        candidates.keys.resize(kept);
        candidates.offsets.resize(kept);
        std::erase_if(not_finite, [&](std::uint32_t offset) { return excluded(offset); });
    }

    const ScoredRows& rows_;
    std::span<const float> logits_;
    bool noisy_;
    GumbelKeys gumbel_;
};

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
                blocks_.push_back({make_huge_buffer<std::uint32_t>(size), size});
                free_ = std::span(blocks_.back().values.get(), size);
            }
            room = free_.first(values.size());
            free_ = free_.subspan(values.size());
        }
        std::copy(values.begin(), values.end(), room.begin());
        return room;
    }

    /// Room for `count` words of 64 bits: memory of the store where a block is that large, as fresh
    /// memory would be cleared first. What was kept is lost.
    HugeBuffer<std::uint64_t> give_up(std::size_t count) && {
        for (Block& block : blocks_) {
            if (block.size < 2 * count) continue;
            return HugeBuffer<std::uint64_t>(
                reinterpret_cast<std::uint64_t*>(block.values.release()));
        }
        return make_huge_buffer<std::uint64_t>(count);
    }

  private:
    static constexpr std::size_t kBlock = std::size_t{4} << 20;

    struct Block {
        HugeBuffer<std::uint32_t> values;
        std::size_t size;
    };

    std::mutex mutex_;
    std::vector<Block> blocks_;
    std::span<std::uint32_t> free_;
    std::size_t next_block_ = std::size_t{1} << 16;  ///< small, for small pools
};

/// The candidates among consecutive rows, in ascending order of offset.
struct Piece {
    std::span<const std::uint32_t> keys, offsets;
};

/// Candidates of this rank in pieces of consecutive rows, and the rows with no finite score.
struct Scan {
    std::unique_ptr<CandidateStore> store;
    std::vector<Piece> pieces;
    std::vector<std::uint32_t> not_finite;

    std::vector<std::span<const std::uint32_t>> keys() const {
        std::vector<std::span<const std::uint32_t>> spans;
        for (const Piece& piece : pieces) spans.emplace_back(piece.keys);
        return spans;
    }
    std::int64_t candidates() const {
        std::int64_t sum = 0;
        for (const Piece& piece : pieces) sum += static_cast<std::int64_t>(piece.keys.size());
        return sum;
    }
};

/// The rows among the rank's `rows` rows whose key is at least `threshold`. Local.
Scan scan_all(const Keys& keys, std::int64_t rows, float threshold);

}  // namespace thresher
