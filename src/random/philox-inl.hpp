// Philox4x32-10 in SIMD, one block a lane: the same words as philox_block() of
// src/random/philox.hpp. Included by sources that Highway compiles once an instruction set.

#if defined(THRESHER_RANDOM_PHILOX_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef THRESHER_RANDOM_PHILOX_INL_HPP
#undef THRESHER_RANDOM_PHILOX_INL_HPP
#else
#define THRESHER_RANDOM_PHILOX_INL_HPP
#endif

#include <hwy/highway.h>

#include <array>
#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace thresher::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using Words = hn::ScalableTag<std::uint32_t>;

/// High and low words of the products of all lanes with one constant.
template <class V>
HWY_INLINE void multiply_wide(Words d, V value, V factor, V& high, V& low) {
#if HWY_TARGET == HWY_SCALAR
    const std::uint64_t product = std::uint64_t{hn::GetLane(value)} * hn::GetLane(factor);
    high = hn::Set(d, static_cast<std::uint32_t>(product >> 32));
    low = hn::Set(d, static_cast<std::uint32_t>(product));
#else
    const hn::Repartition<std::uint64_t, Words> wide;
    const auto even = hn::MulEven(value, factor);
    const auto odd =
        hn::MulEven(hn::BitCast(d, hn::ShiftRight<32>(hn::BitCast(wide, value))), factor);
    high = hn::OddEven(hn::BitCast(d, odd), hn::BitCast(d, hn::ShiftRight<32>(even)));
    low = hn::OddEven(hn::BitCast(d, hn::ShiftLeft<32>(odd)), hn::BitCast(d, even));
#endif
}

/// Turns the counters {c0, c1, c2, c3} of all lanes into the words of their blocks, in place.
template <class V>
HWY_INLINE void philox_rounds(Words d, const std::array<std::uint32_t, 2>& key, V& c0, V& c1, V& c2,
                              V& c3) {
    const auto m0 = hn::Set(d, 0xD2511F53U);
    const auto m1 = hn::Set(d, 0xCD9E8D57U);
    std::uint32_t k0 = key[0];
    std::uint32_t k1 = key[1];
    for (int round = 0; round < 10; ++round) {
        auto high0 = c0, low0 = c0, high1 = c0, low1 = c0;
        multiply_wide(d, c0, m0, high0, low0);
        multiply_wide(d, c2, m1, high1, low1);
        c0 = hn::Xor(hn::Xor(high1, c1), hn::Set(d, k0));
        c1 = low1;
        c2 = hn::Xor(hn::Xor(high0, c3), hn::Set(d, k1));
        c3 = low0;
        k0 += 0x9E3779B9U;
        k1 += 0xBB67AE85U;
    }
}

}  // namespace thresher::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
