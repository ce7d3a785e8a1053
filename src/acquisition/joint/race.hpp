#pragma once

// Draws in proportion to weights by a race: the row with the largest weight / e, e exponential and
// keyed by the row's id, is row i with probability w_i / sum of w. So a draw over all ranks is one
// argmax, and no rank needs the sum.

#include <array>
#include <cmath>
#include <cstdint>
#include <span>

#include "src/acquisition/joint/shard.hpp"
#include "src/random/philox.hpp"

namespace thresher {

/// One draw's race among some rows of one rank. Neighbouring ids share a block of random numbers,
/// so rows should come in the order of their ids.
class Race {
  public:
    Race(const KeyedRandom& random, std::uint16_t draw) : random_(random), draw_(draw) {}

    /// Lets a row of this weight >= 0 take part. A row of weight 0 wins only where no row has more,
    /// and then the lowest id does.
    void enter(double weight, std::int64_t id, std::size_t offset) {
        if (!(weight > 0.0)) {
            best_.consider(0.0, id, offset);
            return;
        }
        const double uniform = open_uniform(bits(id));
        // e = -log u >= 1 - u: most rows are beaten without a logarithm. The slack is above the
        // error of both sides.
        if (weight < best_.score * (1.0 - uniform) * (1.0 - 1e-12)) return;
        best_.consider(weight / -std::log(uniform), id, offset);
    }

    /// Lets the open rows of a shard from `begin` on take part, one for each weight: many at once
    /// where ids equal rows, else one by one. Local.
    void enter_rows(const JointShard& shard, std::span<const float> weights, std::size_t begin);

    const Proposal& best() const { return best_; }

  private:
    /// random_.bits(id, draw_).
    std::uint64_t bits(std::int64_t id) {
        if (id >> 1 != block_) {
            block_ = id >> 1;
            words_ = philox_block(random_.counter(id, draw_), random_.key());
        }
        const std::size_t first = (static_cast<std::uint64_t>(id) & 1U) * 2;
        return (std::uint64_t{words_[first]} << 32) | words_[first + 1];
    }

    KeyedRandom random_;
    std::uint16_t draw_;
    std::int64_t block_ = -1;
    std::array<std::uint32_t, 4> words_{};
    Proposal best_;
};

}  // namespace thresher
