#pragma once

// Captions that go astray: a given share of a new pool's rows gets the caption of another of its
// images. Used inside io.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "io/derive/derive_plan.hpp"

namespace thresher::io {

struct SourceCaption {
    std::span<const std::int32_t> tokens;
    std::string_view text;
    std::int64_t caption_of;  ///< the image it was written for
};

/// The caption of row `local` of a block.
SourceCaption caption_of_row(const SourceBlock& block, std::size_t local);

class CaptionShuffle {
  public:
    /// For a pool that will have `rows` rows.
    CaptionShuffle(double share, std::int64_t rows, std::uint64_t seed);

    std::int64_t rows() const { return share_.rows(); }  ///< that get another caption

    /// Every row of the new pool, once and in order, before the first caption is asked for.
    void collect(const SourceBlock& block, std::size_t local);

    /// The caption of row `local` of a block where it becomes row `written`: its own, or that of
    /// another row, each with the same probability of those that were not written for its image.
    SourceCaption caption(const SourceBlock& block, std::size_t local, std::int64_t written) const;

  private:
    RandomShare share_;
    std::uint64_t seed_;
    std::vector<std::int64_t> source_rows_, caption_of_;
    std::vector<std::int32_t> tokens_;
    std::vector<std::string> texts_;
    std::unordered_map<std::int64_t, std::vector<std::int64_t>> places_of_;  ///< by caption_of
};

}  // namespace thresher::io
