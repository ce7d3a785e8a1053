// What the SIMD kernels of this folder share: rows turned into lanes, and exponentials. Included by
// sources that Highway compiles once an instruction set.
//
// A group is as many rows as four vectors hold doubles; four chains of arithmetic side by side hide
// each other's latency. The tile of a group holds the same numbers column by column, one lane a
// row, so that rows of any width fill the vectors and each row is summed in its own order, whatever
// the rows beside it.

#if defined(THRESHER_ACQUISITION_LANES_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef THRESHER_ACQUISITION_LANES_INL_HPP
#undef THRESHER_ACQUISITION_LANES_INL_HPP
#else
#define THRESHER_ACQUISITION_LANES_INL_HPP
#endif

#include <hwy/aligned_allocator.h>
#include <hwy/highway.h>

#include <hwy/cache_control.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>

HWY_BEFORE_NAMESPACE();
namespace thresher::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

/// Four vectors that go through the same arithmetic.
template <class D>
struct Lanes {
    hn::Vec<D> v0, v1, v2, v3;
};

using Floats = Lanes<hn::ScalableTag<float>>;
using Doubles = Lanes<hn::ScalableTag<double>>;

constexpr std::size_t kGroup = 4 * hn::MaxLanes(hn::ScalableTag<double>());  ///< rows of a group
constexpr std::size_t kFloats = 4 * hn::MaxLanes(hn::ScalableTag<float>());  ///< of a Floats

/// f of the vectors at the same place.
template <class F, class D, class... More>
HWY_INLINE Lanes<D> each(const F& f, const Lanes<D>& a, const More&... more) {
    return {f(a.v0, more.v0...), f(a.v1, more.v1...), f(a.v2, more.v2...), f(a.v3, more.v3...)};
}

template <class D>
HWY_INLINE Lanes<D> all(hn::TFromD<D> value) {
    const auto v = hn::Set(D(), value);
    return {v, v, v, v};
}
HWY_INLINE Doubles all(double value) { return all<hn::ScalableTag<double>>(value); }

template <class D>
HWY_INLINE Lanes<D> operator+(const Lanes<D>& a, const Lanes<D>& b) {
    return each([](auto x, auto y) { return hn::Add(x, y); }, a, b);
}
template <class D>
HWY_INLINE Lanes<D> operator-(const Lanes<D>& a, const Lanes<D>& b) {
    return each([](auto x, auto y) { return hn::Sub(x, y); }, a, b);
}
template <class D>
HWY_INLINE Lanes<D> operator*(const Lanes<D>& a, const Lanes<D>& b) {
    return each([](auto x, auto y) { return hn::Mul(x, y); }, a, b);
}
template <class D>
HWY_INLINE Lanes<D> operator/(const Lanes<D>& a, const Lanes<D>& b) {
    return each([](auto x, auto y) { return hn::Div(x, y); }, a, b);
}
/// a b + c
template <class D>
HWY_INLINE Lanes<D> fma(const Lanes<D>& a, const Lanes<D>& b, const Lanes<D>& c) {
    return each([](auto x, auto y, auto z) { return hn::MulAdd(x, y, z); }, a, b, c);
}
/// c - a b
template <class D>
HWY_INLINE Lanes<D> fnma(const Lanes<D>& a, const Lanes<D>& b, const Lanes<D>& c) {
    return each([](auto x, auto y, auto z) { return hn::NegMulAdd(x, y, z); }, a, b, c);
}
/// Of a NaN and a number, either.
template <class D>
HWY_INLINE Lanes<D> max(const Lanes<D>& a, const Lanes<D>& b) {
    return each([](auto x, auto y) { return hn::Max(x, y); }, a, b);
}
template <class D>
HWY_INLINE Lanes<D> min(const Lanes<D>& a, const Lanes<D>& b) {
    return each([](auto x, auto y) { return hn::Min(x, y); }, a, b);
}
HWY_INLINE Doubles sqrt(const Doubles& a) {
    return each([](auto x) { return hn::Sqrt(x); }, a);
}
/// `then` where a == b, elsewhere `otherwise`.
HWY_INLINE Doubles if_equal(const Doubles& a, const Doubles& b, const Doubles& then,
                            const Doubles& otherwise) {
    return each([](auto x, auto y, auto t, auto o) { return hn::IfThenElse(hn::Eq(x, y), t, o); },
                a, b, then, otherwise);
}
HWY_INLINE Doubles if_greater(const Doubles& a, const Doubles& b, const Doubles& then,
                              const Doubles& otherwise) {
    return each([](auto x, auto y, auto t, auto o) { return hn::IfThenElse(hn::Gt(x, y), t, o); },
                a, b, then, otherwise);
}

/// kGroup floats as doubles, wherever they lie.
HWY_INLINE Doubles load(const float* HWY_RESTRICT tile) {
    const hn::ScalableTag<double> d;
    const hn::Rebind<float, decltype(d)> df;
    constexpr std::size_t kStep = kGroup / 4;
    return {hn::PromoteTo(d, hn::LoadU(df, tile)), hn::PromoteTo(d, hn::LoadU(df, tile + kStep)),
            hn::PromoteTo(d, hn::LoadU(df, tile + 2 * kStep)),
            hn::PromoteTo(d, hn::LoadU(df, tile + 3 * kStep))};
}

/// A vector rounded to floats. Highway's scalar form would make infinities finite.
template <class D, class V>
HWY_INLINE hn::Vec<D> to_floats(D d, V v) {
#if HWY_TARGET == HWY_SCALAR
    return hn::Set(d, static_cast<float>(hn::GetLane(v)));
#else
    return hn::DemoteTo(d, v);
#endif
}

/// Rounded to kGroup floats, wherever they lie.
HWY_INLINE void store(const Doubles& a, float* HWY_RESTRICT to) {
    const hn::Rebind<float, hn::ScalableTag<double>> df;
    constexpr std::size_t kStep = kGroup / 4;
    hn::StoreU(to_floats(df, a.v0), df, to);
    hn::StoreU(to_floats(df, a.v1), df, to + kStep);
    hn::StoreU(to_floats(df, a.v2), df, to + 2 * kStep);
    hn::StoreU(to_floats(df, a.v3), df, to + 3 * kStep);
}

HWY_INLINE Doubles load(const double* HWY_RESTRICT from) {
    const hn::ScalableTag<double> d;
    constexpr std::size_t kStep = kGroup / 4;
    return {hn::LoadU(d, from), hn::LoadU(d, from + kStep), hn::LoadU(d, from + 2 * kStep),
            hn::LoadU(d, from + 3 * kStep)};
}

HWY_INLINE void store(const Doubles& a, double* HWY_RESTRICT to) {
    const hn::ScalableTag<double> d;
    constexpr std::size_t kStep = kGroup / 4;
    hn::Store(a.v0, d, to);
    hn::Store(a.v1, d, to + kStep);
    hn::Store(a.v2, d, to + 2 * kStep);
    hn::Store(a.v3, d, to + 3 * kStep);
}

HWY_INLINE Floats load_floats(const float* HWY_RESTRICT from) {
    const hn::ScalableTag<float> d;
    constexpr std::size_t kStep = kFloats / 4;
    return {hn::Load(d, from), hn::Load(d, from + kStep), hn::Load(d, from + 2 * kStep),
            hn::Load(d, from + 3 * kStep)};
}

HWY_INLINE void store_floats(const Floats& a, float* HWY_RESTRICT to) {
    const hn::ScalableTag<float> d;
    constexpr std::size_t kStep = kFloats / 4;
    hn::Store(a.v0, d, to);
    hn::Store(a.v1, d, to + kStep);
    hn::Store(a.v2, d, to + 2 * kStep);
    hn::Store(a.v3, d, to + 3 * kStep);
}

/// Where exponentials become exactly 0.
constexpr double kLowest = -709.0;
constexpr float kLowestFloat = -88.0F;

/// x, but nothing below `lowest`. NaN stays NaN: of a NaN and a number, x86 returns the second.
template <class D>
HWY_INLINE Lanes<D> clamp_below(const Lanes<D>& a, hn::TFromD<D> lowest) {
    const auto limit = hn::Set(D(), lowest);
#if HWY_ARCH_X86 && HWY_TARGET != HWY_SCALAR
    return each([&](auto x) { return hn::Max(limit, x); }, a);
#else
    return each([&](auto x) { return hn::IfThenElse(hn::Lt(x, limit), limit, x); }, a);
#endif
}

/// f * 2^n, where n and the bias of exponents stand in the lowest bits of `rounded`.
template <int kMantissaBits, class D>
HWY_INLINE Lanes<D> scale(const Lanes<D>& f, const Lanes<D>& rounded) {
    const hn::RebindToUnsigned<D> du;
    return each(
        [&](auto x, auto bits) {
            const auto power = hn::ShiftLeft<kMantissaBits>(hn::BitCast(du, bits));
            return hn::Mul(x, hn::BitCast(D(), power));
        },
        f, rounded);
}

/// exp(x) for x from kLowest (clamp_below) to 700, within 1 unit in the last place; exactly 1 at 0,
/// exactly 0 at kLowest, NaN for NaN. With n = round(x / log 2): e^(x - n log 2) by a polynomial.
HWY_INLINE Doubles exp(const Doubles& x) {
    constexpr double kShift = 0x1.8p52 + 1023.0;
    const auto rounded = fma(x, all(0x1.71547652b82fep0), all(kShift));
    const auto n = rounded - all(kShift);
    const auto r = fnma(n, all(0x1.a39ef35793c76p-33), fnma(n, all(0x1.62e42feep-1), x));
    auto p = fma(all(0x1.af38dd62f7405p-26), r, all(0x1.2891a8c272d60p-22));
    p = fma(p, r, all(0x1.71de0d9826f40p-19));
    p = fma(p, r, all(0x1.a019b8ef6744ap-16));
    p = fma(p, r, all(0x1.a01a01a7ca11cp-13));
    p = fma(p, r, all(0x1.6c16c17893835p-10));
    p = fma(p, r, all(0x1.11111111109abp-7));
    p = fma(p, r, all(0x1.5555555553d4fp-5));
    p = fma(p, r, all(0x1.5555555555556p-3));
    p = fma(p, r, all(0x1.0000000000001p-1));
    p = fma(p, r, all(1.0));
    p = fma(p, r, all(1.0));
    return scale<52>(p, rounded);
}

/// The same in single precision, from kLowestFloat to 88: 2^(x / log 2 - n) by a polynomial. Off by
/// less than (3e-7 + 2e-8 |x|) exp(x).
HWY_INLINE Floats exp(const Floats& x) {
    using D = hn::ScalableTag<float>;
    constexpr float kShift = 0x1.8p23F + 127.0F;
    const auto inverse_log2 = all<D>(0x1.715476p0F);
    const auto rounded = fma(x, inverse_log2, all<D>(kShift));
    const auto r = fma(x, inverse_log2, all<D>(kShift) - rounded);
    auto p = fma(all<D>(0x1.5f0956p-10F), r, all<D>(0x1.3d116ap-7F));
    p = fma(p, r, all<D>(0x1.c6af6cp-5F));
    p = fma(p, r, all<D>(0x1.ebf904p-3F));
    p = fma(p, r, all<D>(0x1.62e430p-1F));
    p = fma(p, r, all<D>(1.0F));
    return scale<23>(p, rounded);
}

/// exp of log-probabilities in a tile; 0 for -inf.
HWY_INLINE Doubles probability(const float* HWY_RESTRICT tile) {
    return exp(clamp_below(load(tile), kLowest));
}

/// log(x) for normal x within 1 unit in the last place, exactly 0 at 1; 0 for 0, NaN for NaN. With
/// x = 2^e y, y in [sqrt(1/2), sqrt(2)): log y from a polynomial in ((y - 1) / (y + 1))^2, as
/// fdlibm.
HWY_INLINE Doubles log_or_zero(const Doubles& x) {
    const hn::ScalableTag<double> d;
    const hn::RebindToUnsigned<decltype(d)> du;
    const auto from = hn::Set(du, std::uint64_t{0x3FE6A09E00000000});  // sqrt(1/2)
    const auto one = hn::Set(du, std::uint64_t{0x3FF0000000000000});
    const auto bits = each(
        [&](auto v) { return hn::BitCast(d, hn::Add(hn::BitCast(du, v), hn::Sub(one, from))); }, x);
    const auto y = each(
        [&](auto v) {
            const auto mantissa =
                hn::And(hn::BitCast(du, v), hn::Set(du, std::uint64_t{0x000FFFFFFFFFFFFF}));
            return hn::BitCast(d, hn::Add(mantissa, from));
        },
        bits);
    const auto e = each(
        [&](auto v) {
            // The exponent in the lowest bits of a number at which doubles are whole.
            const auto whole = hn::Set(d, 0x1p52);
            const auto field =
                hn::Or(hn::ShiftRight<52>(hn::BitCast(du, v)), hn::BitCast(du, whole));
            return hn::Sub(hn::BitCast(d, field), hn::Set(d, 0x1p52 + 1023.0));
        },
        bits);
    const auto f = y - all(1.0);
    const auto s = f / (y + all(1.0));
    const auto s2 = s * s;
    const auto s4 = s2 * s2;
    const auto odd = fma(fma(all(0.1531383769920937332), s4, all(0.2222219843214978396)), s4,
                         all(0.3999999999940941908));
    const auto even = fma(fma(fma(all(0.1479819860511658591), s4, all(0.1818357216161805012)), s4,
                              all(0.2857142874366239149)),
                          s4, all(0.6666666666666735130));
    const auto series = fma(even, s2, odd * s4);
    const auto half_square = all(0.5) * f * f;
    // e log 2 + f - (f^2/2 - (s (f^2/2 + series) + e log 2's lower part))
    const auto lower = fma(s, half_square + series, e * all(1.90821492927058770002e-10));
    const auto log = fma(e, all(6.93147180369123816490e-01), f - (half_square - lower));
    return each(
        [&](auto v, auto result) { return hn::IfThenElse(hn::Gt(v, hn::Zero(d)), result, v); }, x,
        log);
}

/// A tile from `count` rows, 1 to kGroup, of `columns` floats each, one row after the other; lanes
/// without a row repeat the last.
HWY_INLINE void gather_tile(const float* HWY_RESTRICT rows, std::size_t columns, std::size_t count,
                            float* HWY_RESTRICT tile) {
    for (std::size_t lane = 0; lane < kGroup; ++lane) {
        const float* HWY_RESTRICT row = rows + std::min(lane, count - 1) * columns;
        for (std::size_t c = 0; c < columns; ++c) tile[c * kGroup + lane] = row[c];
    }
}

/// The first `count` lanes of a tile back into rows.
HWY_INLINE void scatter_tile(const float* HWY_RESTRICT tile, std::size_t columns, std::size_t count,
                             float* HWY_RESTRICT rows) {
    for (std::size_t lane = 0; lane < count; ++lane) {
        for (std::size_t c = 0; c < columns; ++c) {
            rows[lane * columns + c] = tile[c * kGroup + lane];
        }
    }
}

#if HWY_TARGET == HWY_SCALAR

HWY_INLINE void load_tile(const float* HWY_RESTRICT rows, std::size_t columns, std::size_t count,
                          float* HWY_RESTRICT tile) {
    gather_tile(rows, columns, count, tile);
}

HWY_INLINE void store_tile(const float* HWY_RESTRICT tile, std::size_t columns, std::size_t count,
                           float* HWY_RESTRICT rows) {
    scatter_tile(tile, columns, count, rows);
}

#else

/// Four floats of each fourth row, beginning with the one at `from`: a block of the vector a row.
template <class D>
HWY_INLINE hn::Vec<D> load_blocks(D d, const float* HWY_RESTRICT from, std::size_t columns) {
    if constexpr (hn::MaxLanes(D()) <= 4) {
        return hn::LoadU(d, from);
    } else {
        const hn::Half<D> half;
        return hn::Combine(d, load_blocks(half, from + hn::MaxLanes(half) * columns, columns),
                           load_blocks(half, from, columns));
    }
}

template <class D>
HWY_INLINE void store_blocks(D d, hn::Vec<D> v, float* HWY_RESTRICT to, std::size_t columns) {
    if constexpr (hn::MaxLanes(D()) <= 4) {
        hn::StoreU(v, d, to);
    } else {
        const hn::Half<D> half;
        store_blocks(half, hn::LowerHalf(half, v), to, columns);
        store_blocks(half, hn::UpperHalf(half, v), to + hn::MaxLanes(half) * columns, columns);
    }
}

/// Transposes the 4 x 4 floats in each block of the four vectors.
HWY_INLINE Floats transpose_blocks(const Floats& rows) {
    const hn::ScalableTag<float> d;
    const hn::ScalableTag<double> pairs;
    const auto low01 = hn::BitCast(pairs, hn::InterleaveLower(d, rows.v0, rows.v1));
    const auto high01 = hn::BitCast(pairs, hn::InterleaveUpper(d, rows.v0, rows.v1));
    const auto low23 = hn::BitCast(pairs, hn::InterleaveLower(d, rows.v2, rows.v3));
    const auto high23 = hn::BitCast(pairs, hn::InterleaveUpper(d, rows.v2, rows.v3));
    return {hn::BitCast(d, hn::InterleaveLower(pairs, low01, low23)),
            hn::BitCast(d, hn::InterleaveUpper(pairs, low01, low23)),
            hn::BitCast(d, hn::InterleaveLower(pairs, high01, high23)),
            hn::BitCast(d, hn::InterleaveUpper(pairs, high01, high23))};
}

/// As gather_tile: four columns at a time, the last four of them again where that does not divide
/// the width.
HWY_INLINE void load_tile(const float* HWY_RESTRICT rows, std::size_t columns, std::size_t count,
                          float* HWY_RESTRICT tile) {
    if (columns < 4 || count < kGroup) return gather_tile(rows, columns, count, tile);
    const hn::ScalableTag<float> d;
    constexpr std::size_t kAhead = 1024, kLine = 16;  // floats
    for (std::size_t i = 0; i < kGroup * columns; i += kLine) hwy::Prefetch(rows + kAhead + i);
    for (std::size_t lane = 0; lane < kGroup; lane += hn::Lanes(d)) {
        const auto load_columns = [&](std::size_t c) {
            const float* HWY_RESTRICT from = rows + lane * columns + c;
            const Floats four = transpose_blocks({load_blocks(d, from, columns),
                                                  load_blocks(d, from + columns, columns),
                                                  load_blocks(d, from + 2 * columns, columns),
                                                  load_blocks(d, from + 3 * columns, columns)});
            float* HWY_RESTRICT to = tile + c * kGroup + lane;
            hn::Store(four.v0, d, to);
            hn::Store(four.v1, d, to + kGroup);
            hn::Store(four.v2, d, to + 2 * kGroup);
            hn::Store(four.v3, d, to + 3 * kGroup);
        };
        for (std::size_t c = 0; c + 4 <= columns; c += 4) load_columns(c);
        if (columns % 4 != 0) load_columns(columns - 4);
    }
}

/// As scatter_tile.
HWY_INLINE void store_tile(const float* HWY_RESTRICT tile, std::size_t columns, std::size_t count,
                           float* HWY_RESTRICT rows) {
    if (columns < 4 || count < kGroup) return scatter_tile(tile, columns, count, rows);
    const hn::ScalableTag<float> d;
    for (std::size_t lane = 0; lane < kGroup; lane += hn::Lanes(d)) {
        for (std::size_t next = 0; next < columns; next += 4) {
            const std::size_t c = std::min(next, columns - 4);
            const float* HWY_RESTRICT from = tile + c * kGroup + lane;
            const Floats four =
                transpose_blocks({hn::Load(d, from), hn::Load(d, from + kGroup),
                                  hn::Load(d, from + 2 * kGroup), hn::Load(d, from + 3 * kGroup)});
            float* HWY_RESTRICT to = rows + lane * columns + c;
            store_blocks(d, four.v0, to, columns);
            store_blocks(d, four.v1, to + columns, columns);
            store_blocks(d, four.v2, to + 2 * columns, columns);
            store_blocks(d, four.v3, to + 3 * columns, columns);
        }
    }
}

#endif

}  // namespace thresher::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard
