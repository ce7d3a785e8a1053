#pragma once

// Which row of a pool goes where: imbalance, subset and split, by keyed permutations and without
// memory for the rows. Used inside io.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "io/derive.hpp"
#include "src/random/permutation.hpp"

namespace thresher::io {

/// A given share of n numbered things, chosen at random, exactly round(share * n) of them.
class RandomShare {
  public:
    RandomShare(double share, std::int64_t n, std::uint64_t seed);
    bool chosen(std::int64_t index) const { return rows_ > 0 && (*order_)(index) < rows_; }
    std::int64_t rows() const { return rows_; }

  private:
    std::int64_t rows_;
    std::optional<KeyedPermutation> order_;
};

struct SourceBlock {
    std::int64_t first_row = 0;
    std::vector<std::byte> inputs;
    std::vector<std::int64_t> targets, clean_targets, ids;
    std::vector<std::string> names;
};

class DerivePlan {
  public:
    /// One pass over the targets, where shares by class are wanted. Throws UsageError where sizes
    /// do not fit.
    DerivePlan(const PoolFile& pool, const DeriveOptions& options);

    /// Rows of each destination before repeats.
    const std::vector<std::int64_t>& sizes() const { return sizes_; }

    /// Rows of each class in each destination before repeats, [destinations][classes]. One pass
    /// over the targets.
    std::vector<std::vector<std::int64_t>> class_sizes() const;

    /// One pass over the pool: body(block, row within the block, destination) for each row that is
    /// kept.
    void for_each_row(
        const std::function<void(const SourceBlock&, std::size_t, std::size_t)>& body) const;

  private:
    /// How many rows a pass has met: of each class, and that passed each step.
    struct Met {
        std::vector<std::int64_t> of_class;
        std::int64_t balanced = 0, chosen = 0;
    };

    /// Where the next row goes, which has this target; nothing where it is left out.
    std::optional<std::size_t> destination(std::int64_t target, Met& met) const;
    void for_each_target(const std::function<void(std::int64_t)>& body) const;
    void count_classes();
    void place_splits(std::int64_t rows);

    const PoolFile& pool_;
    const DeriveOptions& options_;
    std::vector<std::int64_t> class_rows_, class_kept_;
    std::vector<std::optional<KeyedPermutation>> class_order_;
    std::optional<KeyedPermutation> subset_order_, split_order_;
    std::int64_t subset_ = 0;
    std::vector<std::int64_t> sizes_, ends_;
};

}  // namespace thresher::io
