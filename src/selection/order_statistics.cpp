#include "src/selection/order_statistics.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <mutex>
#include <numeric>

#include "src/base/thread_team.hpp"
#include "src/selection/ordered_key.hpp"

namespace thresher {

namespace {

constexpr std::int64_t kCuts = 4096;
constexpr std::int64_t kGrain = std::int64_t{1} << 16;

/// A row in the order of selection.
struct Item {
    std::uint32_t key;
    std::int64_t id;

    bool before(const Item& other) const {
        return key != other.key ? key > other.key : id < other.id;
    }
};

bool in_order(const Item& a, const Item& b) { return a.before(b); }

bool selectable(const ScoredRows& rows, std::size_t offset) {
    return std::isfinite(rows.scores[offset]) &&
           (rows.excluded.empty() || rows.excluded[offset] == 0);
}

Item item_of(const ScoredRows& rows, std::size_t offset) {
    return {ordered_key(rows.scores[offset]), rows.id(offset)};
}

/// Some thousand rows of the pool, evenly spread over the rows, in order, on all ranks.
std::vector<Item> choose_cuts(Collective& collective, const ScoredRows& rows) {
    auto all_rows = std::ssize(rows.scores);
    collective.all_reduce_sum(std::span(&all_rows, 1));
    const std::int64_t step = std::max<std::int64_t>(1, all_rows / kCuts);
    std::vector<Item> own;
    for (std::int64_t i = 0; i < std::ssize(rows.scores); i += step) {
        const auto offset = static_cast<std::size_t>(i);
        if (selectable(rows, offset)) own.push_back(item_of(rows, offset));
    }
    std::vector<Item> cuts = collective.all_gather_v(std::span<const Item>(own)).values;
    std::sort(cuts.begin(), cuts.end(), in_order);
    return cuts;
}

/// Sorts the selectable rows into the parts between the cuts: a few thousand rows at a time, calls
/// row(bag, part, item) for each and then done(bag), bags one after the other.
template <class Bag, class Row, class Done>
void sort_into_parts(const ScoredRows& rows, const std::vector<Item>& cuts, const Bag& empty,
                     Row row, Done done) {
    std::mutex mutex;
    parallel_for(std::ssize(rows.scores), kGrain, [&](std::int64_t begin, std::int64_t end) {
        Bag bag = empty;
        for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
            if (!selectable(rows, i)) continue;
            const Item item = item_of(rows, i);
            const auto next = std::upper_bound(cuts.begin(), cuts.end(), item, in_order);
            row(bag, static_cast<std::size_t>(next - cuts.begin()), item);
        }
        const std::lock_guard lock(mutex);
        done(bag);
    });
}

/// A place that is asked for, and where it stands among those.
struct Wanted {
    std::int64_t place, index;
};

struct Answer {
    std::int64_t index, id;
    float score;
};

}  // namespace

std::int64_t count_selectable(Collective& collective, const ScoredRows& rows,
                              std::vector<QuarantinedRow>& quarantined) {
    std::int64_t count = 0;
    for (std::size_t i = 0; i < rows.scores.size(); ++i) {
        if (!rows.excluded.empty() && rows.excluded[i] != 0) continue;
        if (std::isfinite(rows.scores[i])) {
            ++count;
        } else {
            quarantined.push_back({rows.id(i), fmt::format("score is {}", rows.scores[i])});
        }
    }
    collective.all_reduce_sum(std::span(&count, 1));
    return count;
}

std::vector<ScoredRow> rows_at_places(Collective& collective, const ScoredRows& rows,
                                      std::span<const std::int64_t> places) {
    const std::vector<Item> cuts = choose_cuts(collective, rows);
    const std::size_t parts = cuts.size() + 1;
    using Counts = std::vector<std::int64_t>;
    Counts sizes(parts, 0);
    sort_into_parts(
        rows, cuts, Counts(parts, 0),
        [](Counts& counts, std::size_t part, const Item&) { ++counts[part]; },
        [&](const Counts& counts) {
            for (std::size_t part = 0; part < parts; ++part) sizes[part] += counts[part];
        });
    collective.all_reduce_sum(std::span(sizes));
    std::vector<std::int64_t> first(parts + 1, 0);  // place of the first row of each part
    std::partial_sum(sizes.begin(), sizes.end(), first.begin() + 1);

    // The parts that hold a wanted place, dealt to the ranks in runs of about as many rows.
    std::vector<std::vector<Wanted>> wanted(parts);
    for (std::int64_t i = 0; i < std::ssize(places); ++i) {
        const std::int64_t place = places[static_cast<std::size_t>(i)];
        const auto part = std::upper_bound(first.begin(), first.end(), place) - first.begin() - 1;
        wanted[static_cast<std::size_t>(part)].push_back({place, i});
    }
    std::int64_t rows_to_move = 0;
    for (std::size_t part = 0; part < parts; ++part) {
        if (!wanted[part].empty()) rows_to_move += sizes[part];
    }
    const auto ranks = static_cast<std::size_t>(collective.size());
    constexpr std::size_t kNobody = std::numeric_limits<std::size_t>::max();
    std::vector<std::size_t> owner(parts, kNobody);
    std::int64_t dealt = 0;
    for (std::size_t part = 0; part < parts; ++part) {
        if (wanted[part].empty()) continue;
        owner[part] =
            static_cast<std::size_t>(dealt) * ranks / static_cast<std::size_t>(rows_to_move);
        dealt += sizes[part];
    }

    using Outgoing = std::vector<std::vector<Item>>;
    Outgoing to_rank(ranks);
    sort_into_parts(
        rows, cuts, Outgoing(ranks),
        [&](Outgoing& items, std::size_t part, const Item& item) {
            if (owner[part] != kNobody) items[owner[part]].push_back(item);
        },
        [&](const Outgoing& items) {
            for (std::size_t rank = 0; rank < ranks; ++rank) {
                to_rank[rank].insert(to_rank[rank].end(), items[rank].begin(), items[rank].end());
            }
        });
    std::vector<Item> outgoing;
    Counts counts;
    for (const std::vector<Item>& items : to_rank) {
        outgoing.insert(outgoing.end(), items.begin(), items.end());
        counts.push_back(std::ssize(items));
    }
    std::vector<Item> mine =
        collective.all_to_all_v(std::span<const Item>(outgoing), counts).values;
    std::sort(mine.begin(), mine.end(), in_order);

    std::vector<Answer> answers;
    std::size_t next = 0;  // of mine: the first row of the part
    for (std::size_t part = 0; part < parts; ++part) {
        if (owner[part] != static_cast<std::size_t>(collective.rank())) continue;
        for (const Wanted& want : wanted[part]) {
            const Item& item = mine[next + static_cast<std::size_t>(want.place - first[part])];
            answers.push_back({want.index, item.id, from_ordered_key(item.key)});
        }
        next += static_cast<std::size_t>(sizes[part]);
    }
    std::vector<ScoredRow> found;
    const Gathered<Answer> all = collective.gather_v(std::span<const Answer>(answers));
    found.resize(all.values.size());
    for (const Answer& answer : all.values) {
        found[static_cast<std::size_t>(answer.index)] = {answer.id, answer.score};
    }
    return found;
}

}  // namespace thresher
