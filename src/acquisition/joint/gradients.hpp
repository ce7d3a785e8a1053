#pragma once

// Gradient embeddings g = r x h (outer product) of one rank's rows, kept as their factors: h is the
// embedding and r = p - onehot(argmax p) the residual of the mean prediction p. In SIMD; each
// distance is computed from its own two rows by the same operations, wherever it is computed.

#include <cstddef>
#include <span>
#include <vector>

#include "src/acquisition/joint/shard.hpp"

namespace thresher {

class Gradients {
  public:
    /// Of the open rows; the others have a residual of 0. `shard` must outlive it. Threads of the
    /// rank share the rows. Local.
    explicit Gradients(const JointShard& shard);

    /// |g|^2 = |r|^2 |h|^2.
    double squared_norm(std::size_t row) const {
        return double{residual_norms_[row]} * double{norms_[row]};
    }
    /// Squared distances to the nearest of the rows that were added.
    double nearest(std::size_t row) const { return nearest_[row]; }
    std::span<const float> nearest(std::size_t begin, std::size_t end) const {
        return std::span(nearest_).subspan(begin, end - begin);
    }

    std::size_t factor_size() const { return classes_ + shard_.embedding_size(); }
    /// Residual and embedding of a row, one after the other.
    void copy_factors(std::size_t row, std::span<float> factors) const;

    /// nearest = min(nearest, |g_i - g|^2) of the rows [begin, end), `begin` a multiple of kPanel,
    /// for the g with these factors r and h. With r' = r_i - r and h' = h_i - h, g_i - g = r' x h_i
    /// + r x h', and so |g_i - g|^2 = |r'|^2 |h_i|^2 + |r|^2 |h'|^2 + 2 <r', r> <h_i, h'>: rows
    /// close to each other and far from the origin keep their distance, and equal rows have exactly
    /// 0. Local.
    void add(std::span<const float> factors, std::size_t begin, std::size_t end);

    static constexpr std::size_t kPanel = 16;  ///< rows whose residuals lie side by side

  private:
    /// Of a row's first residual.
    std::size_t place_of(std::size_t row) const {
        return row / kPanel * kPanel * classes_ + row % kPanel;
    }

    void make_residuals(std::size_t begin, std::size_t end);

    const JointShard& shard_;
    std::size_t classes_;
    std::vector<float> residuals_;               ///< [panels, C, kPanel]
    std::vector<float> residual_norms_, norms_;  ///< |r|^2, |h|^2
    std::vector<float> nearest_;
};

}  // namespace thresher
