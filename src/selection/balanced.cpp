#include "src/selection/balanced.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "src/base/check.hpp"
#include "src/selection/order_statistics.hpp"

namespace thresher {

namespace {

/// The selectable rows of one rank, those of each class together, in order of row.
struct RowsByClass {
    std::vector<std::int64_t> begin;  ///< [classes + 1]: where each class begins
    std::vector<float> scores;
    std::vector<std::int64_t> ids;
};

RowsByClass sort_by_class(const ScoredRows& rows, std::span<const std::int32_t> classes_of_rows,
                          std::int64_t classes) {
    const auto takes_part = [&](std::size_t i) {
        return classes_of_rows[i] >= 0 && std::isfinite(rows.scores[i]) &&
               (rows.excluded.empty() || rows.excluded[i] == 0);
    };
    RowsByClass sorted;
    sorted.begin.assign(static_cast<std::size_t>(classes) + 1, 0);
    for (std::size_t i = 0; i < rows.scores.size(); ++i) {
        if (takes_part(i)) ++sorted.begin[static_cast<std::size_t>(classes_of_rows[i]) + 1];
    }
    std::partial_sum(sorted.begin.begin(), sorted.begin.end(), sorted.begin.begin());
    const auto count = static_cast<std::size_t>(sorted.begin.back());
    sorted.scores.resize(count);
    sorted.ids.resize(count);
    std::vector<std::int64_t> next(sorted.begin.begin(), sorted.begin.end() - 1);
    for (std::size_t i = 0; i < rows.scores.size(); ++i) {
        if (!takes_part(i)) continue;
        const auto place =
            static_cast<std::size_t>(next[static_cast<std::size_t>(classes_of_rows[i])]++);
        sorted.scores[place] = rows.scores[i];
        sorted.ids[place] = rows.id(i);
    }
    return sorted;
}

/// One row of each class in turn.
void interleave(std::vector<Selection>& of_class, Selection& batch) {
    std::size_t longest = 0;
    for (const Selection& some : of_class) longest = std::max(longest, some.ids.size());
    for (std::size_t place = 0; place < longest; ++place) {
        for (const Selection& some : of_class) {
            if (place >= some.ids.size()) continue;
            batch.ids.push_back(some.ids[place]);
            batch.scores.push_back(some.scores[place]);
            if (!some.inclusion.empty()) batch.inclusion.push_back(some.inclusion[place]);
        }
    }
}

}  // namespace

std::vector<std::int64_t> class_quotas(std::span<const std::int64_t> available, std::int64_t k) {
    const std::int64_t all = std::reduce(available.begin(), available.end(), std::int64_t{0});
    THRESHER_CHECK(k <= all,
                   "k is {}, but only {} rows have a class and can be chosen; choose a smaller k",
                   k, all);
    std::vector<std::int64_t> quotas(available.size(), 0);
    for (std::int64_t left = k; left > 0;) {
        std::vector<std::size_t> open;
        for (std::size_t c = 0; c < quotas.size(); ++c) {
            if (quotas[c] < available[c]) open.push_back(c);
        }
        const std::int64_t share = left / std::ssize(open);
        for (std::size_t i = 0; i < open.size() && left > 0; ++i) {
            const std::int64_t more =
                std::min(std::max<std::int64_t>(share, 1), available[open[i]] - quotas[open[i]]);
            quotas[open[i]] += more;
            left -= more;
        }
    }
    return quotas;
}

Selection select_balanced(Collective& collective, const ScoredRows& rows,
                          std::span<const std::int32_t> classes_of_rows, std::int64_t classes,
                          std::int64_t k, const Selector& selector) {
    check_selection(k, selector);
    THRESHER_CHECK(classes_of_rows.size() == rows.scores.size(), "{} classes for {} scores",
                   classes_of_rows.size(), rows.scores.size());
    check_rows(collective, rows);
    Selection batch;
    static_cast<void>(count_selectable(collective, rows, batch.quarantined));
    const RowsByClass own = sort_by_class(rows, classes_of_rows, classes);
    std::vector<std::int64_t> sizes;
    for (std::size_t c = 0; c < static_cast<std::size_t>(classes); ++c) {
        sizes.push_back(own.begin[c + 1] - own.begin[c]);
    }
    const Gathered<std::int64_t> all =
        collective.all_gather_v(std::span<const std::int64_t>(sizes));
    std::vector<std::int64_t> available(sizes.size(), 0), before(sizes.size(), 0);
    for (int rank = 0; rank < collective.size(); ++rank) {
        for (std::size_t c = 0; c < sizes.size(); ++c) {
            if (rank < collective.rank()) before[c] += all.of(rank)[c];
            available[c] += all.of(rank)[c];
        }
    }
    batch.selectable = std::reduce(available.begin(), available.end(), std::int64_t{0});
    const std::vector<std::int64_t> quotas = class_quotas(available, k);
    std::vector<Selection> of_class;
    for (std::size_t c = 0; c < sizes.size(); ++c) {
        if (quotas[c] == 0) continue;
        const auto first = static_cast<std::size_t>(own.begin[c]);
        const auto count = static_cast<std::size_t>(sizes[c]);
        of_class.push_back(select_rows(collective,
                                       {std::span(own.scores).subspan(first, count),
                                        before[c],
                                        std::span(own.ids).subspan(first, count),
                                        {}},
                                       quotas[c], selector));
    }
    interleave(of_class, batch);
    return batch;
}

}  // namespace thresher
