#pragma once

// Which row of a pool goes where: imbalance, subset and split, by keyed permutations and without
// memory for the rows. Used inside io.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "io/derive/derive.hpp"
#include "src/pool/blocks.hpp"
#include "src/pool/boxes.hpp"
#include "src/random/permutation.hpp"

namespace thresher::io {

/// A given share of n numbered things, chosen at random, exactly round(share * n) of them.
class RandomShare {
  public:
    RandomShare(double share, std::int64_t n, std::uint64_t seed, Stream stream);
    bool chosen(std::int64_t index) const { return rows_ > 0 && (*order_)(index) < rows_; }
    std::int64_t rows() const { return rows_; }

  private:
    std::int64_t rows_;
    std::optional<KeyedPermutation> order_;
};

struct SourceBlock {
    std::int64_t first_row = 0;
    std::vector<std::byte> inputs;
    std::vector<std::int64_t> targets, clean_targets, ids, image_ids;
    std::vector<std::string> names;
    /// Of pools with captions. Where none were shuffled, they were written for their own images.
    std::vector<std::int32_t> tokens;
    std::vector<std::string> captions;
    std::vector<std::int64_t> caption_of;
    Boxes boxes;
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

    using RowBody = std::function<void(const SourceBlock&, std::size_t, std::size_t)>;
    /// One pass over the pool: body(block, row within the block, destination) for each row that is
    /// kept.
    void for_each_row(const RowBody& body) const;
    /// As for_each_row, without the inputs.
    void for_each_row_of_columns(const RowBody& body) const;

  private:
    /// How many rows a pass has met: of each class, and that passed each step.
    struct Met {
        std::vector<std::int64_t> of_class;
        std::int64_t balanced = 0, chosen = 0;
    };

    /// Where the next row goes, which has this target; nothing where it is left out.
    std::optional<std::size_t> destination(std::int64_t target, Met& met) const;
    /// Whether the next row is among those that are split, and its place among them.
    std::optional<std::int64_t> place_to_split(std::int64_t target, Met& met) const;
    void for_each_target(const std::function<void(std::int64_t)>& body) const;
    void read_text(RowRange rows, SourceBlock& block) const;
    void pass(bool inputs, const RowBody& body) const;
    void count_classes();
    void place_splits(std::int64_t rows);
    void place_images(std::int64_t rows);

    const PoolFile& pool_;
    const DeriveOptions& options_;
    std::vector<std::int64_t> class_rows_, class_kept_;
    std::vector<std::optional<KeyedPermutation>> class_order_;
    std::optional<KeyedPermutation> subset_order_, split_order_;
    std::int64_t subset_ = 0;
    std::vector<std::int64_t> sizes_, ends_;
    /// By place among the rows that are split, where rows share images; -1: left out.
    std::vector<std::int32_t> split_of_row_;
};

}  // namespace thresher::io
