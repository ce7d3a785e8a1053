#pragma once

// A keyed permutation of [0, n): the element at any position at once, no memory, n up to 2^40.

#include <array>
#include <cstdint>

#include "src/random/philox.hpp"

namespace thresher {

/// An alternating Feistel network on the smallest power of two >= n; values beyond n are walked
/// along their cycle until they fall below it (Black and Rogaway, "Ciphers with arbitrary finite
/// domains", 2002), fewer than two steps on average. Thread-safe.
class KeyedPermutation {
  public:
    /// Throws unless 1 <= n <= 2^40.
    KeyedPermutation(std::int64_t n, std::uint64_t seed, Stream stream, std::uint32_t round);

    /// The element at `position`, both in [0, n).
    std::int64_t operator()(std::int64_t position) const;

    /// The position of `element`: the inverse.
    std::int64_t position_of(std::int64_t element) const;

    std::int64_t size() const { return n_; }

  private:
    static constexpr int kRounds = 10;

    std::uint64_t encrypt(std::uint64_t value) const;
    std::uint64_t decrypt(std::uint64_t value) const;

    std::int64_t n_;
    int low_bits_, high_bits_;
    std::array<std::uint64_t, kRounds> round_keys_;
};

}  // namespace thresher
