#pragma once

// Where the cut falls among the keys of all ranks, found by counting: three histograms of 11,
// 11 and 10 bits of the key, and, where rows tie at the cut, six of 11 bits of the id. The size of
// what is exchanged depends neither on their number nor on k.

#include <cstdint>
#include <span>

#include "src/base/collective.hpp"

namespace thresher {

struct Threshold {
    std::uint32_t key = 0;      ///< the k-th largest key over all ranks
    std::int64_t greater = 0;   ///< keys larger than it, over all ranks
    std::int64_t equal = 0;     ///< keys equal to it, over all ranks
    std::uint32_t largest = 0;  ///< no key of any rank is above; not always one of theirs
};

/// The k-th largest key among all ranks' packed candidates (ordered_key.hpp), this rank's in
/// `pieces`. Precondition: 1 <= k <= keys over all ranks. Three all-reduces of 16 KiB or
/// less. Collective.
Threshold find_threshold(Collective& collective,
                         std::span<const std::span<const std::uint32_t>> pieces, std::int64_t k);

/// The id such that exactly `wanted` of all ranks' `ids` (each >= 0, no duplicates) are <= it.
/// Precondition: 1 <= wanted <= ids over all ranks. Six all-reduces of 16 KiB. Collective.
std::int64_t find_id_cut(Collective& collective, std::span<const std::int64_t> ids,
                         std::int64_t wanted);

}  // namespace thresher
