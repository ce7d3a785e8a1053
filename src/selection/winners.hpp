#pragma once

// The rows that were chosen: each rank's in order, and all ranks' as one batch at the root.

#include <cstdint>
#include <vector>

#include "src/base/huge_pages.hpp"
#include "src/selection/candidates.hpp"
#include "src/selection/global_threshold.hpp"
#include "src/selection/ordered_key.hpp"

namespace thresher {

/// This rank's part of the batch, best first.
class Winners {
  public:
    /// The candidates above the cut, and those at it with an id up to `id_cut`. Uses their memory
    /// up.
    Winners(const ScoredRows& rows, bool noisy, Candidates candidates, const Threshold& cut,
            std::int64_t id_cut);

    std::size_t size() const { return ids_.size(); }
    std::uint32_t key(std::size_t place) const {
        return cut_ + static_cast<std::uint32_t>(items_[place] >> 32);
    }
    std::int64_t id(std::size_t place) const { return rows_.id(offset(place)); }
    /// A key of top-k is the score itself: no need to fetch it from among all scores.
    float score(std::size_t place) const {
        return noisy_ ? rows_.scores[offset(place)] : from_ordered_key(key(place));
    }

    /// Writes the ids and scores of all; this is used up.
    void give(Selection& selection) &&;

  private:
    std::size_t offset(std::size_t place) const { return items_[place] & 0xffffffffU; }

    void sort(Candidates candidates, const Threshold& cut, std::int64_t id_cut);
    void sort_ties_by_id();

    const ScoredRows& rows_;
    bool noisy_;
    std::uint32_t cut_;
    std::vector<std::int64_t> ids_;     ///< until they are given, one of two buffers that sort uses
    HugeBuffer<std::uint64_t> buffer_;  ///< the other
    std::uint64_t* items_ = nullptr;    ///< {key - cut, offset}, in one of them
};

/// Puts all ranks' winners into `selection` as one sorted list, at the root. Collective.
void merge_winners(Collective& collective, Winners own, Selection& selection);

}  // namespace thresher
