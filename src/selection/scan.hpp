#pragma once

// The passes over all scores of a rank, in SIMD: find the few rows that can still be chosen, and
// the rows whose score is not finite. Everything else about a selection looks at those few.

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "src/random/philox.hpp"

namespace thresher {

/// Rows whose key reaches a threshold, in ascending order of offset (the row's place in the shard).
/// Memory is kept from one use to the next, as clearing it would take as long as finding the rows.
class Hits {
  public:
    std::size_t size() const { return size_; }
    /// ordered_key of each row's key.
    std::span<const std::uint32_t> keys() const { return std::span(keys_).first(size_); }
    std::span<const std::uint32_t> offsets() const { return std::span(offsets_).first(size_); }

    /// No hits, and room for `room` of them.
    void restart(std::size_t room) {
        size_ = 0;
        if (room <= keys_.size()) return;
        keys_.resize(room);
        offsets_.resize(room);
    }
    /// Within the room.
    void add(std::uint32_t key, std::uint32_t offset) {
        keys_[size_] = key;
        offsets_[size_++] = offset;
    }
    /// `drop(offset)` is called once for each hit, in order.
    template <class Drop>
    void erase_if(const Drop& drop) {
        const std::size_t size = std::exchange(size_, 0);
        for (std::size_t i = 0; i < size; ++i) {
            if (!drop(offsets_[i])) add(keys_[i], offsets_[i]);
        }
    }

    /// For what fills the room itself.
    std::uint32_t* keys_data() { return keys_.data(); }
    std::uint32_t* offsets_data() { return offsets_.data(); }
    void set_size(std::size_t size) { size_ = size; }

  private:
    std::vector<std::uint32_t> keys_, offsets_;  ///< of which `size_` are hits
    std::size_t size_ = 0;
};

/// How noisy keys are made: beta score + Gumbel noise - centre, rounded once to float.
/// Keys are at their finest near 0, so the centre is put where the choice is made.
struct GumbelKeys {
    KeyedRandom random;
    double beta = 1.0;
    double centre = 0.0;

    /// The keys of rows with these scores and 64 random bits each (random.bits(id)); equal lengths.
    /// Local.
    void compute(std::span<const float> scores, std::span<const std::uint64_t> bits,
                 std::span<float> keys) const;
};

/// Puts into `found` all rows with score >= threshold, their keys being the scores, and appends to
/// `not_finite` the offsets of all rows whose score is not finite. `first` is the offset of
/// scores[0]. Local.
void scan_scores(std::span<const float> scores, std::uint32_t first, float threshold, Hits& found,
                 std::vector<std::uint32_t>& not_finite);

/// As scan_scores, with the noisy keys of the rows with ids first_id, first_id + 1, ... Local.
void scan_gumbel_keys(std::span<const float> scores, std::uint32_t first, std::int64_t first_id,
                      const GumbelKeys& keys, float threshold, Hits& found,
                      std::vector<std::uint32_t>& not_finite);

/// The SIMD instruction set the scans use on this processor ("AVX2", "SSE4", ...).
const char* scan_target();

}  // namespace thresher
