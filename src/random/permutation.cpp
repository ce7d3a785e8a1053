#include "src/random/permutation.hpp"

#include <algorithm>
#include <bit>

namespace thresher {

namespace {

std::uint64_t mask(int bits) { return (std::uint64_t{1} << bits) - 1; }

/// The finaliser of SplitMix64 (Steele, Lea and Flood, 2014) as the round function.
std::uint64_t mix(std::uint64_t half, std::uint64_t key) {
    std::uint64_t z = half * 0x9E3779B97F4A7C15U + key;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31);
}

}  // namespace

KeyedPermutation::KeyedPermutation(std::int64_t n, std::uint64_t seed, Stream stream,
                                   std::uint32_t round)
    : n_(n) {
    THRESHER_CHECK(n >= 1 && n <= (std::int64_t{1} << 40),
                   "a permutation of {} elements was asked for; allowed: 1 to 2^40", n);
    const int bits =
        std::max(2, static_cast<int>(std::bit_width(static_cast<std::uint64_t>(n - 1))));
    low_bits_ = bits / 2;
    high_bits_ = bits - low_bits_;
    const KeyedRandom random(seed, stream, round);
    for (int i = 0; i < kRounds; ++i) {
        round_keys_[static_cast<std::size_t>(i)] = random.bits(i, 0xFFFF);
    }
}

std::uint64_t KeyedPermutation::encrypt(std::uint64_t value) const {
    std::uint64_t low = value & mask(low_bits_);
    std::uint64_t high = value >> low_bits_;
    for (std::size_t i = 0; i < kRounds; i += 2) {
        high ^= mix(low, round_keys_[i]) & mask(high_bits_);
        low ^= mix(high, round_keys_[i + 1]) & mask(low_bits_);
    }
    return (high << low_bits_) | low;
}

std::uint64_t KeyedPermutation::decrypt(std::uint64_t value) const {
    std::uint64_t low = value & mask(low_bits_);
    std::uint64_t high = value >> low_bits_;
    for (std::size_t i = kRounds; i > 0; i -= 2) {
        low ^= mix(high, round_keys_[i - 1]) & mask(low_bits_);
        high ^= mix(low, round_keys_[i - 2]) & mask(high_bits_);
    }
    return (high << low_bits_) | low;
}

std::int64_t KeyedPermutation::operator()(std::int64_t position) const {
    THRESHER_CHECK(position >= 0 && position < n_, "position {} is outside a permutation of {}",
                   position, n_);
    auto value = static_cast<std::uint64_t>(position);
    do {
        value = encrypt(value);
    } while (value >= static_cast<std::uint64_t>(n_));
    return static_cast<std::int64_t>(value);
}

std::int64_t KeyedPermutation::position_of(std::int64_t element) const {
    THRESHER_CHECK(element >= 0 && element < n_, "element {} is outside a permutation of {}",
                   element, n_);
    auto value = static_cast<std::uint64_t>(element);
    do {
        value = decrypt(value);
    } while (value >= static_cast<std::uint64_t>(n_));
    return static_cast<std::int64_t>(value);
}

}  // namespace thresher
