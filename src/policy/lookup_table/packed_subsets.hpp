#pragma once

// Subsets of N candidates as bits, 64 in a word, and which of them are near each other: the
// distance of two subsets is the number of candidates that one of them alone holds.

#include <cstdint>
#include <span>
#include <vector>

namespace thresher {

class PackedSubsets {
  public:
    /// None yet. Throws Error where candidates < 1.
    explicit PackedSubsets(std::int64_t candidates);
    /// Words [R, words()]: bit j of a subset is bit j mod 64 of word j div 64. Throws Error where
    /// they do not fill rows, or bits beyond the candidates are set.
    PackedSubsets(std::int64_t candidates, std::vector<std::uint64_t> bits);

    /// Throws Error for a position that is none, or is there twice; -1 is no candidate.
    void add(std::span<const std::int32_t> subset);
    void add_packed(std::span<const std::uint64_t> bits);

    std::int64_t candidates() const { return candidates_; }
    std::int64_t size() const { return std::ssize(bits_) / words_; }
    std::int64_t words() const { return words_; }  ///< of a subset
    std::span<const std::uint64_t> bits() const { return bits_; }
    std::span<const std::uint64_t> operator[](std::int64_t subset) const {
        return std::span(bits_).subspan(static_cast<std::size_t>(subset * words_),
                                        static_cast<std::size_t>(words_));
    }

    std::int64_t members_count(std::int64_t subset) const;
    std::vector<std::int32_t> members(std::int64_t subset) const;  ///< ascending

  private:
    std::int64_t candidates_, words_;
    std::vector<std::uint64_t> bits_;
};

/// The M nearest of R records to each of Q queries, by (distance, record).
struct NearestRecords {
    std::int64_t m = 0;
    std::vector<std::int32_t> records, distances;  ///< [Q, M]
};

/// Throws Error where the two have different candidates, or M is not in 1 to R. Threads of the rank
/// share the queries. Local.
NearestRecords nearest_records(const PackedSubsets& records, const PackedSubsets& queries,
                               std::int64_t m);

/// [Q, R]. Local.
std::vector<std::int32_t> subset_distances(const PackedSubsets& records,
                                           const PackedSubsets& queries);

}  // namespace thresher
