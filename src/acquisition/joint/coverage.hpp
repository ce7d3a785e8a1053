#pragma once

// How well the rows of one rank are represented by the rows picked so far, and what another one
// would add: the sums of facility location.

#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "src/acquisition/joint/distances.hpp"
#include "src/acquisition/joint/exact_grid.hpp"
#include "src/acquisition/joint/joint.hpp"
#include "src/acquisition/joint/shard.hpp"

namespace thresher {

/// Rows of one rank whose best similarity rose, in the order in which it did.
struct CoverageChanges {
    std::vector<std::size_t> rows;     ///< offsets
    std::vector<float> before, after;  ///< best_i
};

/// best_i is the similarity of row i to the most similar of the rows that cover it, and starts at
/// 0; under neg_squared_distance it starts at the similarity, 0 once shifted, of the pair of rows
/// furthest apart. The similarities of every pair are computed anew whenever they are needed.
class Coverage {
  public:
    /// `rows` is what may be covered over all ranks, at most. Collective.
    Coverage(Collective& collective, const JointShard& shard, Similarity similarity,
             std::int64_t rows);

    /// Forgets what covered the rows. Local.
    void reset();

    /// Rows [m, d], made ready for gains() and cover(). Local.
    void pack(std::span<const float> rows, PackedRows& packed);

    /// sums[j] += sum over `covered` (offsets) of max(0, s_ij - best_i), in any order the same
    /// bits; where nothing covers a row under neg_squared_distance, of -|x_i - x_j|^2 instead, and
    /// `largest_distance` is raised to the largest |x_i - x_j|^2. Local.
    void add_gains(const PackedRows& packed, std::span<const std::size_t> covered,
                   std::span<double> sums, float& largest_distance) const;

    /// sums[j] += by how much the changes from starts[j] on changed what add_gains() gives,
    /// exactly. Changes of rows that nothing had covered under neg_squared_distance are not among
    /// them. Local.
    void add_changes(const PackedRows& packed, const CoverageChanges& changes,
                     std::span<const std::size_t> starts, std::span<double> sums) const;

    /// Lets the packed rows cover rows; appends to `changes`. Local.
    void cover(const PackedRows& packed, std::span<const std::size_t> covered,
               CoverageChanges& changes);

    /// True under neg_squared_distance until something covers the rows.
    bool without_origin() const { return distances_ && !covered_; }

    double on_grid(double value) const { return (*grid_)(value); }
    double grid_step() const { return grid_->magic() * 0x1p-52 / 1.5; }

  private:
    using Tile = std::function<void(std::size_t first, std::size_t rows, std::span<float> tile)>;
    void for_each_tile(const PackedRows& packed, std::span<const std::size_t> covered,
                       const Tile& use) const;
    double largest_value(Collective& collective);

    const JointShard& shard_;
    Similarity similarity_;
    bool distances_, covered_ = false;
    std::vector<float> inverse_norms_;  ///< [n], cosine alone
    std::vector<float> best_;           ///< [n]
    std::vector<float> scaled_;         ///< rows of unit norm on their way into a pack
    std::optional<ExactGrid> grid_;
};

}  // namespace thresher
