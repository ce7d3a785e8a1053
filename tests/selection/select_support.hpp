#pragma once

// Deals scores to simulated ranks and runs a selection over them.

#include <algorithm>
#include <cmath>
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

/// The best k rows that may be chosen, by the definition: score descending, id ascending.
inline std::vector<std::int64_t> by_definition(const Pool& pool, std::size_t k) {
    std::vector<std::size_t> rows;
    for (std::size_t i = 0; i < pool.scores.size(); ++i) {
        const bool excluded = !pool.excluded.empty() && pool.excluded[i] != 0;
        if (!excluded && std::isfinite(pool.scores[i])) rows.push_back(i);
    }
    const auto id = [&](std::size_t row) {
        return pool.ids.empty() ? static_cast<std::int64_t>(row) : pool.ids[row];
    };
    std::sort(rows.begin(), rows.end(), [&](std::size_t a, std::size_t b) {
        return pool.scores[a] != pool.scores[b] ? pool.scores[a] > pool.scores[b] : id(a) < id(b);
    });
    std::vector<std::int64_t> ids;
    for (std::size_t i = 0; i < k; ++i) ids.push_back(id(rows.at(i)));
    return ids;
}

/// Where rank `rank` of `ranks` begins; uneven on purpose, with an empty rank among more than four.
inline std::size_t shard_begin(std::size_t rows, int rank, int ranks) {
    if (rank == 0) return 0;
    if (rank >= ranks) return rows;
    if (ranks > 4) {  // ranks 2 and 3 begin at the same row
        if (rank >= 3) --rank;
        --ranks;
    }
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
