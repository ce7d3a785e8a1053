#pragma once

// Distances and products between rows of floats, in SIMD. Each pair is computed from its own two
// rows by the same operations in the same order, wherever it is computed; differences are taken
// before they are squared, so that rows close to each other and far from the origin keep their
// distance, and equal rows have exactly 0. All local.

#include <cstddef>
#include <span>
#include <vector>

#include "src/base/huge_pages.hpp"

namespace thresher {

/// norms[i] = |x_i|^2 of rows [n, d], in float; not finite where the row is not.
void squared_norms(std::span<const float> rows, std::size_t d, std::span<float> norms);

/// nearest[i] = min(nearest[i], |x_i - centre|^2) for rows [n, d].
void update_nearest(std::span<const float> rows, std::span<const float> centre,
                    std::span<float> nearest);

/// Some rows side by side, so that one instruction works on several of them: coordinate j of all
/// rows, then coordinate j + 1.
class PackedRows {
  public:
    /// Copies rows [m, d].
    void pack(std::span<const float> rows, std::size_t d);

    std::size_t rows() const { return rows_; }
    std::size_t width() const { return width_; }  ///< rows, rounded up for the widest vectors
    std::size_t embedding_size() const { return d_; }
    const float* data() const { return values_.data(); }  ///< [panels, d, kPanel]

    static constexpr std::size_t kPanel = 16;

  private:
    std::size_t rows_ = 0, width_ = 0, d_ = 0;
    std::vector<float> values_;
};

enum class Pairing { dot_product, squared_distance };

/// out[i, j] of rows x_i [n, d] and packed rows y_j; `out` is [n, packed.width()], of which the
/// columns from packed.rows() on mean nothing.
void pair_up(Pairing pairing, std::span<const float> rows, const PackedRows& packed,
             std::span<float> out);

}  // namespace thresher
