#include "src/policy/lookup_table/lookup_table.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <map>
#include <numeric>
#include <tuple>

#include "src/base/check.hpp"

namespace thresher {

namespace {

std::vector<std::string> names_of(const LookupTable& table) {
    std::vector<std::string> names;
    for (const auto& [name, values] : table.metrics) names.push_back(name);
    return names;
}

/// A metric that two files hold is the same number, or the same lack of one.
bool same_bits(double a, double b) {
    return std::bit_cast<std::uint64_t>(a) == std::bit_cast<std::uint64_t>(b) ||
           (std::isnan(a) && std::isnan(b));
}

/// The records of `from` in this order.
LookupTable in_order(const LookupTable& from, const std::vector<std::size_t>& order) {
    LookupTable to(from.subsets.candidates());
    to.ids = from.ids;
    to.repeats = from.repeats;
    to.candidates_checksum = from.candidates_checksum;
    to.proxy = from.proxy;
    to.facts = from.facts;
    const auto r = static_cast<std::size_t>(from.repeats);
    for (const std::size_t i : order) {
        to.subsets.add_packed(from.subsets[static_cast<std::int64_t>(i)]);
        to.numbers.push_back(from.numbers[i]);
        to.seeds.push_back(from.seeds[i]);
        to.seconds.push_back(from.seconds[i]);
    }
    for (const auto& [name, values] : from.metrics) {
        std::vector<double>& own = to.metrics[name];
        for (const std::size_t i : order) {
            own.insert(own.end(), values.begin() + static_cast<std::ptrdiff_t>(i * r),
                       values.begin() + static_cast<std::ptrdiff_t>((i + 1) * r));
        }
    }
    return to;
}

}  // namespace

UsableRecords usable_records(const LookupTable& table, const std::string& metric) {
    const auto found = table.metrics.find(metric);
    THRESHER_CHECK(found != table.metrics.end(), "the table has no metric \"{}\"; it has {}",
                   metric, fmt::join(names_of(table), ", "));
    return usable_records(table.subsets, found->second, table.repeats, metric);
}

UsableRecords usable_records(const PackedSubsets& subsets, std::span<const double> values,
                             std::int64_t repeats, std::string_view metric) {
    UsableRecords usable{PackedSubsets(subsets.candidates()), {}, 0, 0, 0};
    for (std::int64_t i = 0; i < subsets.size(); ++i) {
        const auto first = values.begin() + i * repeats;
        const double mean =
            std::accumulate(first, first + repeats, 0.0) / static_cast<double>(repeats);
        if (!std::isfinite(mean)) {
            ++usable.quarantined;
            continue;
        }
        usable.subsets.add_packed(subsets[i]);
        usable.values.push_back(mean);
        const std::int64_t size = subsets.members_count(i);
        usable.least_size = usable.values.size() == 1 ? size : std::min(usable.least_size, size);
        usable.most_size = std::max(usable.most_size, size);
    }
    THRESHER_CHECK(usable.values.size() >= 2,
                   "the table has {} record{} with a finite {} ({} quarantined); an estimate needs "
                   "2 at the very least, and some hundred to be of use",
                   usable.values.size(), usable.values.size() == 1 ? "" : "s", metric,
                   usable.quarantined);
    const auto [least, most] = std::minmax_element(usable.values.begin(), usable.values.end());
    THRESHER_CHECK(*least < *most,
                   "the {} of all {} records is {}: there is no signal to tell subsets apart by; "
                   "take larger subsets, more reward points, or another metric",
                   metric, usable.values.size(), *least);
    return usable;
}

void merge_into(LookupTable& table, const LookupTable& part) {
    THRESHER_CHECK(table.subsets.candidates() == part.subsets.candidates() &&
                       table.candidates_checksum == part.candidates_checksum &&
                       table.ids == part.ids,
                   "the tables are of different candidates ({} of {} and {} of {}); only tables "
                   "of the same environment can be merged",
                   table.subsets.candidates(), table.candidates_checksum, part.subsets.candidates(),
                   part.candidates_checksum);
    THRESHER_CHECK(table.proxy == part.proxy && table.repeats == part.repeats,
                   "the tables were made by different proxies ({}; and {}); only tables of the "
                   "same proxy can be merged",
                   table.proxy, part.proxy);
    THRESHER_CHECK(names_of(table) == names_of(part),
                   "one table has the metrics {} and the other {}; they cannot be merged",
                   fmt::join(names_of(table), ", "), fmt::join(names_of(part), ", "));
    using Key = std::tuple<std::uint64_t, std::int64_t, std::vector<std::uint64_t>>;
    const auto key_of = [](const LookupTable& of, std::int64_t i) {
        const auto bits = of.subsets[i];
        const auto at = static_cast<std::size_t>(i);
        return Key{of.seeds[at], of.numbers[at], {bits.begin(), bits.end()}};
    };
    std::map<Key, std::int64_t> known;
    for (std::int64_t i = 0; i < table.size(); ++i) known.emplace(key_of(table, i), i);
    const auto r = static_cast<std::size_t>(table.repeats);
    for (std::int64_t i = 0; i < part.size(); ++i) {
        const auto [place, added] = known.emplace(key_of(part, i), table.size());
        const auto from = static_cast<std::size_t>(i);
        if (!added) {
            const auto there = static_cast<std::size_t>(place->second);
            for (const auto& [name, values] : part.metrics) {
                for (std::size_t k = 0; k < r; ++k) {
                    THRESHER_CHECK(
                        same_bits(values[from * r + k], table.metrics[name][there * r + k]),
                        "record {} of seed {} has {} {} in one table and {} in the other; one of "
                        "them was made on other hardware, or is damaged",
                        part.numbers[from], part.seeds[from], name, values[from * r + k],
                        table.metrics[name][there * r + k]);
                }
            }
            continue;
        }
        table.subsets.add_packed(part.subsets[i]);
        table.numbers.push_back(part.numbers[from]);
        table.seeds.push_back(part.seeds[from]);
        table.seconds.push_back(part.seconds[from]);
        for (const auto& [name, values] : part.metrics) {
            std::vector<double>& own = table.metrics[name];
            own.insert(own.end(), values.begin() + static_cast<std::ptrdiff_t>(from * r),
                       values.begin() + static_cast<std::ptrdiff_t>((from + 1) * r));
        }
    }
    std::vector<std::size_t> order;
    for (const auto& [key, place] : known) order.push_back(static_cast<std::size_t>(place));
    table = in_order(table, order);
}

}  // namespace thresher
