#include "src/policy/table_search.hpp"

#include <algorithm>
#include <cmath>

#include "src/random/philox.hpp"

namespace thresher {

namespace {

constexpr std::int64_t kClimbs = 16;     // of a refresh, from different records
constexpr std::int64_t kExchanges = 32;  // that a step of a climb looks at
constexpr std::int64_t kSteps = 24;

struct Climb {
    std::vector<std::int32_t> batch;
    double estimate = 0.0;
};

/// The best records of `picks` candidates, each of another batch.
std::vector<Climb> best_records(const RefreshedTable& table, std::int64_t picks) {
    const std::span<const double> values = table.values();
    std::vector<std::int64_t> order;
    for (std::int64_t i = 0; i < table.size(); ++i) {
        if (table.subsets().members_count(i) == picks &&
            std::isfinite(values[static_cast<std::size_t>(i)])) {
            order.push_back(i);
        }
    }
    std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
        return values[static_cast<std::size_t>(a)] > values[static_cast<std::size_t>(b)];
    });
    order.resize(static_cast<std::size_t>(std::min(std::ssize(order), kClimbs)));
    std::vector<Climb> climbs;
    for (const std::int64_t i : order) climbs.push_back({table.subsets().members(i), 0.0});
    return climbs;
}

std::vector<double> estimates_of(RefreshedTable& table, std::span<const std::int32_t> batches,
                                 std::int64_t picks) {
    std::vector<double> values(batches.size() / static_cast<std::size_t>(picks));
    table.evaluate(batches, picks, values);
    return values;
}

/// `batch` with one of it exchanged for one that is not in it.
void add_exchanged(std::span<const std::int32_t> batch, std::int64_t candidates,
                   const KeyedRandom& random, std::int64_t id, std::vector<std::int32_t>& batches) {
    const auto leaving = static_cast<std::size_t>(random.integer(id, std::ssize(batch)));
    std::int32_t coming = -1;
    for (std::uint16_t draw = 16; coming < 0; draw = static_cast<std::uint16_t>(draw + 16)) {
        const auto drawn = static_cast<std::int32_t>(random.integer(id, candidates, draw));
        if (std::find(batch.begin(), batch.end(), drawn) == batch.end()) coming = drawn;
    }
    batches.insert(batches.end(), batch.begin(), batch.end());
    batches[batches.size() - batch.size() + leaving] = coming;
}

/// One step of all climbs: each goes to the best of its exchanges where that is estimated higher.
void step(RefreshedTable& table, std::vector<Climb>& climbs, const KeyedRandom& random,
          std::int64_t number) {
    const auto picks = climbs.front().batch.size();
    std::vector<std::int32_t> batches;
    for (std::size_t c = 0; c < climbs.size(); ++c) {
        for (std::int64_t e = 0; e < kExchanges; ++e) {
            const std::int64_t place = number * kClimbs + static_cast<std::int64_t>(c);
            add_exchanged(climbs[c].batch, table.subsets().candidates(), random,
                          place * kExchanges + e, batches);
        }
    }
    const auto found = estimates_of(table, batches, static_cast<std::int64_t>(picks));
    for (std::size_t c = 0; c < climbs.size(); ++c) {
        const auto own = std::span(found).subspan(c * kExchanges, kExchanges);
        const auto best = std::max_element(own.begin(), own.end());
        if (*best <= climbs[c].estimate) continue;
        const std::size_t place = c * kExchanges + static_cast<std::size_t>(best - own.begin());
        const auto batch = std::span(batches).subspan(place * picks, picks);
        climbs[c] = {{batch.begin(), batch.end()}, *best};
    }
}

}  // namespace

std::vector<std::int32_t> search_table(RefreshedTable& table, const SearchOptions& options) {
    const std::int64_t candidates = table.subsets().candidates();
    for (std::int64_t refresh = 0; refresh < options.refreshes; ++refresh) {
        std::vector<Climb> climbs = best_records(table, options.picks);
        std::vector<std::int32_t> batches;
        for (const Climb& climb : climbs)
            batches.insert(batches.end(), climb.batch.begin(), climb.batch.end());
        const auto estimates = estimates_of(table, batches, options.picks);
        for (std::size_t c = 0; c < climbs.size(); ++c) climbs[c].estimate = estimates[c];
        const KeyedRandom random(options.seed, Stream::table_search,
                                 static_cast<std::uint32_t>(refresh));
        for (std::int64_t s = 0; options.picks < candidates && s < kSteps; ++s) {
            step(table, climbs, random, s);
        }
        std::stable_sort(climbs.begin(), climbs.end(),
                         [](const Climb& a, const Climb& b) { return a.estimate > b.estimate; });
        batches.clear();
        for (const Climb& climb : climbs)
            batches.insert(batches.end(), climb.batch.begin(), climb.batch.end());
        static_cast<void>(table.refresh(batches, options.picks));
    }
    return table.best();
}

}  // namespace thresher
