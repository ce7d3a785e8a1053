#pragma once

// The rows that were chosen: each rank's in order, and all ranks' as one batch at the root.

#include <cstdint>

#include "src/base/collective.hpp"
#include "src/selection/candidates.hpp"
#include "src/selection/global_threshold.hpp"
#include "src/selection/select.hpp"

namespace thresher {

/// Puts the batch into `selection` at the root, best first: the candidates of all ranks above the
/// cut, and those at it with an id up to `id_cut`. `noisy`: the keys are not the scores. Memory: up
/// to 8 k on every rank, 48 k at the root. Collective.
void gather_winners(Collective& collective, const ScoredRows& rows, bool noisy,
                    Candidates candidates, const Threshold& cut, std::int64_t id_cut,
                    Selection& selection);

}  // namespace thresher
