#pragma once

// The rows that were chosen: each rank's in order, and all ranks' as one batch at the root.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "src/selection/candidates.hpp"
#include "src/selection/global_threshold.hpp"

namespace thresher {

/// This rank's part of the batch.
class Winners {
  public:
    /// The candidates above the cut, and those at it with an id up to `id_cut`.
    Winners(const ScoredRows& rows, bool noisy, Candidates candidates, const Threshold& cut,
            std::int64_t id_cut);

    std::size_t size() const { return ids_.size(); }

    /// Writes the ids and scores of all, best first; this is used up.
    void give(Selection& selection) &&;

    /// Calls use(place, id, score, key) for each, place 0 being the best, from any thread; this is
    /// used up.
    template <class Use>
    void for_each(const Use& use) &&;

  private:
    /// {how far the key is from the highest, offset} of each, where its id will be.
    std::uint64_t* items() { return reinterpret_cast<std::uint64_t*>(ids_.data()); }
    void distribute(Candidates candidates, const Threshold& cut, std::int64_t id_cut);
    template <class Use>
    void use_parts(std::size_t first, std::size_t last, const Use& use);
    void sort_ties_by_id(std::span<std::uint64_t> items) const;

    const ScoredRows& rows_;
    bool noisy_;
    KeyInterval range_;
    std::vector<std::uint32_t> ends_;  ///< of the items by first digit, the highest digit first
    std::vector<std::int64_t> ids_;
};

/// Puts all ranks' winners into `selection` as one sorted list, at the root. Collective.
void merge_winners(Collective& collective, Winners own, Selection& selection);

}  // namespace thresher
