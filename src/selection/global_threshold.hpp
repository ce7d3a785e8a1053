#pragma once

// Where the cut falls among the keys of all ranks, found by counting: three histograms of 11, 11
// and 10 bits of how far a key lies above the lowest, or of fewer where the keys span less, and,
// where rows tie at the cut, six of 11 bits of the id. The size of what is exchanged depends
// neither on their number nor on k.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "src/base/collective.hpp"

namespace thresher {

/// 2^bits keys from `lowest` on. The first digit of a key is the upper 11 of those bits, or all
/// where there are fewer.
struct KeyInterval {
    static constexpr int kDigitBits = 11;

    std::uint32_t lowest = 0;
    int bits = 0;

    int shift() const { return std::max(0, bits - kDigitBits); }
    /// How many values the first digit has.
    std::uint32_t digit_values() const { return 1U << (bits - shift()); }
    /// The first digit; not below digit_values() for a key above, modulo 2^32, the interval.
    std::uint32_t digit_of(std::uint32_t key) const { return (key - lowest) >> shift(); }
    /// The keys with this first digit.
    KeyInterval part(std::uint32_t digit) const { return {lowest + (digit << shift()), shift()}; }
};

struct Threshold {
    std::int64_t k = 0;        ///< which key was asked for
    std::uint32_t key = 0;     ///< the k-th largest key over all ranks
    std::int64_t greater = 0;  ///< keys larger than it, over all ranks
    std::int64_t equal = 0;    ///< keys equal to it, over all ranks
    KeyInterval range;         ///< holds all ranks' keys
    /// [2^11], how many of this rank's keys have each first digit in `range`.
    std::vector<std::int64_t> own_counts;
};

/// The k-th largest key among all ranks' packed candidates (ordered_key.hpp), this rank's in
/// `pieces`. Precondition: 1 <= k <= keys over all ranks. Four all-reduces, of 16 bytes and three
/// times 16 KiB. Collective.
Threshold find_threshold(Collective& collective,
                         std::span<const std::span<const std::uint32_t>> pieces, std::int64_t k);

/// The id such that exactly `wanted` of all ranks' `ids` (each >= 0, no duplicates) are <= it.
/// Precondition: 1 <= wanted <= ids over all ranks. Six all-reduces of 16 KiB. Collective.
std::int64_t find_id_cut(Collective& collective, std::span<const std::int64_t> ids,
                         std::int64_t wanted);

}  // namespace thresher
