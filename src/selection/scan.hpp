#pragma once

// The passes over all scores of a rank, in SIMD: find the few rows that can still be chosen, and
// the rows whose score is not finite. Everything else about a selection looks at those few.

#include <cstdint>
#include <span>
#include <vector>

#include "src/random/philox.hpp"

namespace thresher {

/// What a scan found, in ascending order of offset (the place in the scanned span).
struct ScanHits {
    std::vector<std::uint32_t> candidates;
    std::vector<std::uint32_t> not_finite;
};

/// Appends to `hits` the offsets of all scores >= threshold, and of all that are not finite.
/// `first` is the offset of scores[0]. Local.
void scan_scores(std::span<const float> scores, std::uint32_t first, float threshold,
                 ScanHits& hits);

/// As scan_scores for the keys score / temperature + Gumbel noise of the rows with ids first_id,
/// first_id + 1, ...: appends every row whose key is >= threshold, and possibly a few just below
/// it; the caller computes the exact keys of those. Local.
void scan_gumbel_keys(std::span<const float> scores, std::uint32_t first, std::int64_t first_id,
                      const KeyedRandom& random, double temperature, double threshold,
                      ScanHits& hits);

/// The SIMD instruction set the scans use on this processor ("AVX2", "SSE4", ...).
const char* scan_target();

}  // namespace thresher
