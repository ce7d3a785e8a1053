#pragma once

// Deals scores to simulated ranks and runs a selection over them.

#include <algorithm>
#include <vector>

#include "src/base/check.hpp"
#include "src/base/thread_collective.hpp"
#include "src/selection/select.hpp"

namespace thresher::test {

struct Pool {
    std::vector<float> scores;
    std::vector<std::int64_t> ids;       ///< empty: ids are rows
    std::vector<std::uint8_t> excluded;  ///< or empty
};

/// Where rank `rank` of `ranks` begins; uneven on purpose, with an empty rank among more than four.
inline std::size_t shard_begin(std::size_t rows, int rank, int ranks) {
    if (rank == 0) return 0;
    if (rank >= ranks) return rows;
    if (ranks > 4 && rank >= 3) --rank, --ranks;  // rank 2 and 3 of the deal begin at the same row
    return rows * static_cast<std::size_t>(rank * rank) / static_cast<std::size_t>(ranks * ranks);
}

struct Outcome {
    Selection selection;  ///< the root's
    std::vector<QuarantinedRow> quarantined;
    Traffic traffic;
};

inline Outcome select_over(int ranks, const Pool& pool, std::int64_t k, const Selector& selector) {
    Outcome outcome;
    run_simulated_ranks(ranks, [&](Collective& collective) {
        const std::size_t begin = shard_begin(pool.scores.size(), collective.rank(), ranks);
        const std::size_t end = shard_begin(pool.scores.size(), collective.rank() + 1, ranks);
        const auto part = [&](const auto& values) {
            return std::span(values).subspan(values.empty() ? 0 : begin,
                                             values.empty() ? 0 : end - begin);
        };
        const ScoredRows rows{part(pool.scores), static_cast<std::int64_t>(begin), part(pool.ids),
                              part(pool.excluded)};
        Selection selection = select_rows(collective, rows, k, selector);
        const Traffic traffic = collective.traffic();
        const auto quarantined = gather_quarantine(collective, selection.quarantined);
        if (collective.is_root()) {
            outcome = {std::move(selection), quarantined, traffic};
        } else {
            if (!selection.ids.empty()) throw Error("a rank other than the root holds a batch");
        }
    });
    return outcome;
}

}  // namespace thresher::test
