#pragma once

// The passes over all scores of a rank, in SIMD: find the few rows that can still be chosen, and
// the rows whose score is not finite. Everything else about a selection looks at those few.

#include <cstdint>
#include <span>
#include <vector>

#include "src/random/philox.hpp"

namespace thresher {

/// Rows whose key reaches a threshold, in ascending order of offset (the row's place in the shard).
struct Hits {
    std::vector<std::uint32_t> keys;     ///< ordered_key of the row's key
    std::vector<std::uint32_t> offsets;  ///< as many
};

/// How noisy keys are made: beta score + Gumbel noise - centre, rounded once to float.
/// Keys are at their finest near 0, so the centre is put where the choice is made.
struct GumbelKeys {
    KeyedRandom random;
    double beta = 1.0;
    double centre = 0.0;

    /// The keys of rows with these scores and 64 random bits each (random.bits(id)); equal lengths.
    /// Local.
    void compute(std::span<const float> scores, std::span<const std::uint64_t> bits,
                 std::span<float> keys) const;
};

/// Appends to `found` all rows with score >= threshold, their keys being the scores, and to
/// `not_finite` the offsets of all rows whose score is not finite. `first` is the offset of
/// scores[0]. Local.
void scan_scores(std::span<const float> scores, std::uint32_t first, float threshold, Hits& found,
                 std::vector<std::uint32_t>& not_finite);

/// As scan_scores, with the noisy keys of the rows with ids first_id, first_id + 1, ... Local.
void scan_gumbel_keys(std::span<const float> scores, std::uint32_t first, std::int64_t first_id,
                      const GumbelKeys& keys, float threshold, Hits& found,
                      std::vector<std::uint32_t>& not_finite);

/// The SIMD instruction set the scans use on this processor ("AVX2", "SSE4", ...).
const char* scan_target();

}  // namespace thresher
