#pragma once

// From a super-batch to the sub-batch that is trained on. A super-batch is small: every rank gets
// all of its scores and makes the same choice, for the price of one collective. Only the inputs
// that were chosen travel.

#include <cstdint>
#include <span>
#include <vector>

#include "src/base/collective.hpp"
#include "src/pool/example_source.hpp"
#include "src/selection/select.hpp"
#include "src/training/shard_plan.hpp"

namespace thresher {

struct SubBatch {
    std::vector<std::int64_t> places;  ///< in the super-batch, ascending
    std::int64_t without_score = 0;    ///< candidates whose score is not finite
    double candidate_score = 0.0;      ///< mean over the others; NaN where there are none
    double chosen_score = 0.0;         ///< mean over the chosen ones
    /// Of the places, where asked for: b / (B inclusion), with b chosen out of B that have a score
    /// (Selection::inclusion). The mean over the b of weight x f is on average that of f over the
    /// B. Empty: 1 each.
    std::vector<float> weights;

    /// Those of some of the places.
    std::vector<float> weights_of(RowRange chosen) const;
};

/// The candidates at `places`, ascending, with the means of the finite ones of all `scores` and of
/// theirs. Local.
SubBatch described_choice(std::span<const float> scores, std::vector<std::int64_t> places);

/// The first `size` of candidates none of which has a score. Local.
SubBatch first_candidates(std::int64_t candidates, std::int64_t size);

/// Chooses `size` candidates by the scores that the ranks hold of consecutive parts of the
/// super-batch; a score that is not finite is never chosen. Where fewer have one, as many as have;
/// where none has, the first `size`, so that an update without a target teaches nothing, as it does
/// under uniform training. With `selector.inclusion` they get weights. The same on every rank, and
/// for any number of them. Collective.
SubBatch choose_sub_batch(Collective& collective, std::span<const float> own_scores,
                          std::int64_t size, const Selector& selector);

/// Hands the chosen examples to the ranks that train on them. `candidates` are those of the places
/// that this rank owns; `chosen` becomes rows plan.rank_rows(places.size(), rank) of the sub-batch.
/// Collective.
void move_chosen(Collective& collective, const Examples& candidates, RowRange own_places,
                 std::span<const std::int64_t> places, const ShardPlan& plan, Examples& chosen);

}  // namespace thresher
