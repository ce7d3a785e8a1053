#include "src/policy/lookup_table/packed_subsets.hpp"

#include <algorithm>
#include <bit>
#include <numeric>

#include "src/base/check.hpp"
#include "src/base/thread_team.hpp"
#include "src/policy/lookup_table/popcount.hpp"

namespace thresher {

PackedSubsets::PackedSubsets(std::int64_t candidates)
    : candidates_(candidates), words_((candidates + 63) / 64) {
    THRESHER_CHECK(candidates >= 1, "subsets of {} candidates were asked for; 1 is the fewest",
                   candidates);
}

PackedSubsets::PackedSubsets(std::int64_t candidates, std::vector<std::uint64_t> bits)
    : PackedSubsets(candidates) {
    THRESHER_CHECK(std::ssize(bits) % words_ == 0,
                   "{} words are no whole number of subsets of {} candidates, which have {} each",
                   bits.size(), candidates, words_);
    bits_ = std::move(bits);
    if (candidates_ % 64 == 0) return;
    const std::uint64_t beyond = ~std::uint64_t{0} << (candidates_ % 64);
    for (std::int64_t i = 0; i < size(); ++i) {
        THRESHER_CHECK(((*this)[i].back() & beyond) == 0,
                       "subset {} holds a candidate beyond the {} that there are", i, candidates_);
    }
}

void PackedSubsets::add(std::span<const std::int32_t> subset) {
    const std::size_t first = bits_.size();
    bits_.resize(first + static_cast<std::size_t>(words_), 0);
    for (const std::int32_t candidate : subset) {
        if (candidate == -1) continue;
        const bool known = candidate >= 0 && candidate < candidates_;
        const std::uint64_t bit = std::uint64_t{1} << (static_cast<std::uint32_t>(candidate) % 64);
        std::uint64_t* const word =
            known ? &bits_[first + static_cast<std::size_t>(candidate) / 64] : nullptr;
        if (known && (*word & bit) == 0) {
            *word |= bit;
            continue;
        }
        bits_.resize(first);
        THRESHER_CHECK(known, "a subset holds candidate {}, but there are {} candidates, from 0",
                       candidate, candidates_);
        fail("a subset holds candidate {} twice", candidate);
    }
}

void PackedSubsets::add_packed(std::span<const std::uint64_t> bits) {
    THRESHER_CHECK(std::ssize(bits) == words_, "a subset of {} words where {} were due",
                   bits.size(), words_);
    bits_.insert(bits_.end(), bits.begin(), bits.end());
}

std::int64_t PackedSubsets::members_count(std::int64_t subset) const {
    std::int64_t count = 0;
    for (const std::uint64_t word : (*this)[subset]) count += std::popcount(word);
    return count;
}

std::vector<std::int32_t> PackedSubsets::members(std::int64_t subset) const {
    std::vector<std::int32_t> found;
    const auto row = (*this)[subset];
    for (std::size_t w = 0; w < row.size(); ++w) {
        for (std::uint64_t left = row[w]; left != 0; left &= left - 1) {
            found.push_back(static_cast<std::int32_t>(64 * w) + std::countr_zero(left));
        }
    }
    return found;
}

namespace {

void check_together(const PackedSubsets& records, const PackedSubsets& queries) {
    THRESHER_CHECK(records.candidates() == queries.candidates(),
                   "subsets of {} candidates have no distance to those of {}", queries.candidates(),
                   records.candidates());
}

/// Calls body(first, count, distances [kDistanceQueries, R]) for the queries in groups.
template <class Body>
void for_distances(const PackedSubsets& records, const PackedSubsets& queries, const Body& body) {
    constexpr auto kQueries = static_cast<std::int64_t>(kDistanceQueries);
    const auto r = static_cast<std::size_t>(records.size());
    const auto words = static_cast<std::size_t>(records.words());
    parallel_for(
        (queries.size() + kQueries - 1) / kQueries, 1, [&](std::int64_t begin, std::int64_t end) {
            std::vector<std::int32_t> distances(kDistanceQueries * r);
            std::vector<std::uint64_t> group(kDistanceQueries * words);
            for (std::int64_t g = begin; g < end; ++g) {
                const std::int64_t first = g * kQueries;
                const std::int64_t count = std::min(kQueries, queries.size() - first);
                const auto bits = queries.bits().subspan(static_cast<std::size_t>(first) * words,
                                                         static_cast<std::size_t>(count) * words);
                std::copy(bits.begin(), bits.end(), group.begin());
                count_differing_bits(records.bits().data(), r, group.data(), words,
                                     distances.data());
                body(first, count, distances);
            }
        });
}

}  // namespace

std::vector<std::int32_t> subset_distances(const PackedSubsets& records,
                                           const PackedSubsets& queries) {
    check_together(records, queries);
    const std::int64_t r = records.size();
    std::vector<std::int32_t> all(static_cast<std::size_t>(queries.size() * r));
    for_distances(
        records, queries,
        [&](std::int64_t first, std::int64_t count, const std::vector<std::int32_t>& found) {
            std::copy(found.begin(), found.begin() + count * r, all.begin() + first * r);
        });
    return all;
}

NearestRecords nearest_records(const PackedSubsets& records, const PackedSubsets& queries,
                               std::int64_t m) {
    check_together(records, queries);
    THRESHER_CHECK(m >= 1 && m <= records.size(),
                   "the {} nearest of {} records were asked for; allowed are 1 to all", m,
                   records.size());
    NearestRecords nearest{m, {}, {}};
    nearest.records.resize(static_cast<std::size_t>(queries.size() * m));
    nearest.distances.resize(nearest.records.size());
    const auto r = static_cast<std::size_t>(records.size());
    const auto most = static_cast<std::size_t>(m);
    for_distances(
        records, queries,
        [&](std::int64_t first, std::int64_t count, const std::vector<std::int32_t>& found) {
            // How many records are how far; then the places of those near enough, in record order.
            std::vector<std::int64_t> places;
            for (std::size_t q = 0; q < static_cast<std::size_t>(count); ++q) {
                const std::int32_t* const own = found.data() + q * r;
                places.assign(static_cast<std::size_t>(records.candidates()) + 1, 0);
                for (std::size_t i = 0; i < r; ++i) ++places[static_cast<std::size_t>(own[i])];
                std::int64_t before = 0;
                for (std::int64_t& place : places) before += std::exchange(place, before);
                const std::size_t to = (static_cast<std::size_t>(first) + q) * most;
                for (std::size_t i = 0; i < r; ++i) {
                    std::int64_t& place = places[static_cast<std::size_t>(own[i])];
                    if (place >= m) continue;
                    nearest.records[to + static_cast<std::size_t>(place)] =
                        static_cast<std::int32_t>(i);
                    nearest.distances[to + static_cast<std::size_t>(place)] = own[i];
                    ++place;
                }
            }
        });
    return nearest;
}

}  // namespace thresher
