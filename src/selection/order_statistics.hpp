#pragma once

// Rows by their place in the order of all scores, without sorting them all.

#include <cstdint>
#include <span>
#include <vector>

#include "src/base/collective.hpp"
#include "src/selection/select.hpp"

namespace thresher {

/// Rows over all ranks that are not excluded and have a finite score; appends this rank's rows
/// whose score is not finite to `quarantined`. Collective.
std::int64_t count_selectable(Collective& collective, const ScoredRows& rows,
                              std::vector<QuarantinedRow>& quarantined);

struct ScoredRow {
    std::int64_t id;
    float score;
};

/// The rows at the given places in the order score descending, id ascending, of all selectable rows
/// of all ranks, at the root in the order of `places`; empty elsewhere. `places` (0 = best, no
/// duplicates, each below the number of selectable rows) are the same on all ranks. The pool is
/// cut at a few thousand of its own rows; only the parts that hold a wanted place are sent to a
/// rank and sorted there. Collective.
std::vector<ScoredRow> rows_at_places(Collective& collective, const ScoredRows& rows,
                                      std::span<const std::int64_t> places);

}  // namespace thresher
