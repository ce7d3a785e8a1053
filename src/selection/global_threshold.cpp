#include "src/selection/global_threshold.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <numeric>
#include <vector>

#include "src/base/check.hpp"
#include "src/selection/key_search.hpp"

namespace thresher {

namespace {

constexpr std::size_t kBins = std::size_t{1} << KeyInterval::kDigitBits;
using Histogram = std::array<std::int64_t, kBins>;
using Pieces = std::span<const std::span<const std::uint32_t>>;

/// All keys of all ranks: from the lowest on, and as few bits as hold the highest.
KeyInterval find_range(Collective& collective, Pieces pieces) {
    std::uint32_t smallest = ~0U, largest = 0;
    for (const auto keys : pieces) widen_range(keys, smallest, largest);
    std::array<std::int64_t, 2> extremes{largest, -std::int64_t{smallest}};
    collective.all_reduce_max(extremes);
    const auto lowest = static_cast<std::uint32_t>(-extremes[1]);
    const std::uint32_t span = static_cast<std::uint32_t>(extremes[0]) - lowest;
    return {lowest, static_cast<int>(std::bit_width(span))};
}

/// Counts the first digits of the keys in the interval. Without a branch (keys near the cut would
/// mispredict it) and in four histograms at once (candidates crowd into few bins, and each count
/// would wait for the one before).
Histogram count_digits(Pieces pieces, const KeyInterval& interval) {
    constexpr std::size_t kLanes = 4;
    std::array<std::array<std::uint32_t, kBins + 1>, kLanes> lanes{};
    const std::uint32_t elsewhere = interval.digit_values();
    const auto bin_of = [&](std::uint32_t key) {
        return std::min(interval.digit_of(key), elsewhere);
    };
    for (const std::span<const std::uint32_t> keys : pieces) {
        std::size_t i = 0;
        for (; i + kLanes <= keys.size(); i += kLanes) {
            for (std::size_t lane = 0; lane < kLanes; ++lane) ++lanes[lane][bin_of(keys[i + lane])];
        }
        for (; i < keys.size(); ++i) ++lanes[0][bin_of(keys[i])];
    }
    Histogram counts{};
    for (std::size_t bin = 0; bin < elsewhere; ++bin) {
        for (const auto& lane : lanes) counts[bin] += lane[bin];
    }
    return counts;
}

std::vector<std::uint32_t> keys_in(const KeyInterval& interval, Pieces pieces) {
    const auto width = static_cast<std::uint32_t>((std::uint64_t{1} << interval.bits) - 1);
    std::vector<std::uint32_t> inside;
    std::vector<std::size_t> places;
    for (const std::span<const std::uint32_t> keys : pieces) {
        places.clear();
        find_keys(keys, interval.lowest, width, places);
        for (const std::size_t place : places) inside.push_back(keys[place]);
    }
    return inside;
}

}  // namespace

Threshold find_threshold(Collective& collective, Pieces pieces, std::int64_t k) {
    // Where no more than this part of the keys is left, the next digits are counted in a copy.
    constexpr std::int64_t kCopiedPart = 8;
    Threshold result;
    result.k = k;
    result.range = find_range(collective, pieces);
    KeyInterval interval = result.range;
    std::vector<std::uint32_t> inside;
    std::span<const std::uint32_t> inside_piece;
    std::int64_t wanted = k;
    for (int digit = 0; digit < 3; ++digit) {
        const Histogram own = count_digits(pieces, interval);
        if (digit == 0) result.own_counts.assign(own.begin(), own.end());
        Histogram counts = own;
        collective.all_reduce_sum(std::span(counts));
        std::uint32_t bin = interval.digit_values() - 1;
        while (counts[bin] < wanted) {
            wanted -= counts[bin];
            result.greater += counts[bin];
            THRESHER_CHECK(bin > 0, "the {}-th largest key was asked for, but there are fewer", k);
            --bin;
        }
        result.equal = counts[bin];
        interval = interval.part(bin);
        const std::int64_t counted = std::accumulate(own.begin(), own.end(), std::int64_t{0});
        if (digit < 2 && own[bin] <= counted / kCopiedPart) {
            inside = keys_in(interval, pieces);
            inside_piece = inside;
            pieces = std::span(&inside_piece, 1);
        }
    }
    result.key = interval.lowest;
    return result;
}

std::int64_t find_id_cut(Collective& collective, std::span<const std::int64_t> ids,
                         std::int64_t wanted) {
    std::uint64_t prefix = 0;
    for (int shift = 55; shift >= 0; shift -= 11) {
        Histogram counts{};
        for (const std::int64_t id : ids) {
            const std::uint64_t high = static_cast<std::uint64_t>(id) >> shift;
            if ((high >> 11) == prefix) ++counts[high & (kBins - 1)];
        }
        collective.all_reduce_sum(std::span(counts));
        std::size_t bin = 0;
        while (counts[bin] < wanted) {
            wanted -= counts[bin];
            THRESHER_CHECK(bin + 1 < kBins, "more tied ids were asked for than there are");
            ++bin;
        }
        prefix = (prefix << 11) | bin;
    }
    return static_cast<std::int64_t>(prefix);
}

}  // namespace thresher
