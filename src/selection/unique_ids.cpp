#include "src/selection/unique_ids.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <vector>

#include "src/base/check.hpp"

namespace thresher {

namespace {

constexpr std::int64_t kNone = std::numeric_limits<std::int64_t>::max();

std::int64_t smallest_duplicate(std::vector<std::int64_t> ids) {
    std::sort(ids.begin(), ids.end());
    const auto twice = std::adjacent_find(ids.begin(), ids.end());
    return twice == ids.end() ? kNone : *twice;
}

}  // namespace

void check_unique_ids(Collective& collective, std::span<const std::int64_t> ids,
                      const std::string& source) {
    const std::string where = source.empty() ? "" : source + ": ";
    // Its number of rows, the smallest id, whether its ids ascend, the first and the last.
    struct Summary {
        std::int64_t rows, smallest, ascending, first, last;
    };
    Summary own{static_cast<std::int64_t>(ids.size()), 0, 1, 0, 0};
    if (!ids.empty()) {
        own = {
            own.rows, *std::min_element(ids.begin(), ids.end()),
            std::adjacent_find(ids.begin(), ids.end(), std::greater_equal<>()) == ids.end() ? 1 : 0,
            ids.front(), ids.back()};
    }
    const Gathered<Summary> all = collective.all_gather_v(std::span<const Summary>(&own, 1));
    bool ascending = true;
    std::int64_t last = -1;
    for (const Summary& rank : all.values) {
        THRESHER_CHECK(rank.smallest >= 0, "{}the id {} is negative; ids are 0 or more", where,
                       rank.smallest);
        if (rank.rows == 0) continue;
        ascending = ascending && rank.ascending == 1 && rank.first > last;
        last = rank.last;
    }
    if (ascending) return;

    const auto ranks = static_cast<std::uint64_t>(collective.size());
    const auto owner = [&](std::int64_t id) {
        return static_cast<std::size_t>(
            (static_cast<std::uint64_t>(id) * 0x9E3779B97F4A7C15U >> 32) % ranks);
    };
    std::vector<std::int64_t> counts(ranks, 0);
    for (const std::int64_t id : ids) ++counts[owner(id)];
    std::vector<std::int64_t> place(ranks, 0);
    for (std::size_t rank = 1; rank < ranks; ++rank)
        place[rank] = place[rank - 1] + counts[rank - 1];
    std::vector<std::int64_t> outgoing(ids.size());
    for (const std::int64_t id : ids) outgoing[static_cast<std::size_t>(place[owner(id)]++)] = id;
    Gathered<std::int64_t> received =
        collective.all_to_all_v(std::span<const std::int64_t>(outgoing), counts);
    std::array<std::int64_t, 1> duplicate{smallest_duplicate(std::move(received.values))};
    collective.all_reduce_min(duplicate);
    THRESHER_CHECK(duplicate[0] == kNone,
                   "{}the id {} occurs more than once; every row needs its own", where,
                   duplicate[0]);
}

}  // namespace thresher
