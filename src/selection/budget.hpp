#pragma once

// Batches by score for money: rows have costs, and the batch a budget.

#include <cstdint>
#include <span>

#include "src/base/collective.hpp"
#include "src/selection/select.hpp"

namespace thresher {

struct BudgetedSelection {
    Selection selection;       ///< in order of score per cost, descending, then id
    std::vector<float> costs;  ///< [picks], at the root
    double spent = 0.0;        ///< their sum, at the root; never above the budget
};

/// Goes through all ranks' rows by score / cost, descending, ties by id, and picks each row whose
/// cost still fits what is left of the budget (the greedy rule for knapsacks, Dantzig 1957).
/// `costs` [n] are above 0; a row with another cost, or whose score is not finite, is quarantined.
/// Rows with a score below 0 are never bought. Costs are added in units of 2^-48 of the budget's
/// power of two, those below 2^-24 of the budget rounded up, so that sums are exact and the batch
/// is the same for any number of ranks. Throws on all ranks alike: UsageError for a budget that is
/// not above 0, Error where not even one row fits it. Each pass over the rows takes a fixed number
/// of all-reduces of 32 KiB or less; passes are few, as each leaves less of the budget. Memory: 12
/// bytes a row. Collective.
BudgetedSelection select_within_budget(Collective& collective, const ScoredRows& rows,
                                       std::span<const float> costs, double budget);

}  // namespace thresher
