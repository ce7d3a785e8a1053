#include "src/selection/scan.hpp"

#include <algorithm>
#include <cmath>

// Highway compiles this file once for each instruction set and picks the best at run time.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/selection/scan.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <hwy/contrib/math/math-inl.h>

HWY_BEFORE_NAMESPACE();
namespace thresher::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::ScalableTag<float>;
using Words = hn::ScalableTag<std::uint32_t>;

constexpr std::uint32_t kInfinityBits = 0x7f800000U;

/// Splits the rows marked in `hit` into candidates and rows that are not finite. Out of the hot
/// path.
HWY_NOINLINE void record_hits(std::uint32_t offset, std::uint64_t hit_bits, std::uint64_t bad_bits,
                              ScanHits& hits) {
    for (; hit_bits != 0; hit_bits &= hit_bits - 1) {
        const auto lane = static_cast<std::uint32_t>(hwy::Num0BitsBelowLS1Bit_Nonzero64(hit_bits));
        if (((bad_bits >> lane) & 1) != 0) {
            hits.not_finite.push_back(offset + lane);
        } else {
            hits.candidates.push_back(offset + lane);
        }
    }
}

template <class Mask>
std::uint64_t mask_bits(Floats d, Mask mask) {
    std::uint8_t bytes[8 + HWY_MAX_BYTES / 8] = {};
    hn::StoreMaskBits(d, mask, bytes);
    std::uint64_t bits = 0;
    std::copy_n(bytes, sizeof(bits), reinterpret_cast<std::uint8_t*>(&bits));
    return bits;
}

void scan_scores(const float* HWY_RESTRICT scores, std::size_t count, std::uint32_t first,
                 float threshold, ScanHits& hits) {
    const Floats d;
    const Words dw;
    const std::size_t lanes = hn::Lanes(d);
    const auto limit = hn::Set(d, threshold);
    const auto magnitude = hn::Set(dw, 0x7fffffffU);
    const auto largest = hn::Set(dw, kInfinityBits - 1);
    const auto hit_mask = [&](auto score) {
        const auto bad = hn::Gt(hn::And(hn::BitCast(dw, score), magnitude), largest);
        return hn::Or(hn::Ge(score, limit), hn::RebindMask(d, bad));
    };
    const auto record = [&](std::size_t i, auto score) {
        const auto bad = hn::Gt(hn::And(hn::BitCast(dw, score), magnitude), largest);
        record_hits(first + static_cast<std::uint32_t>(i), mask_bits(d, hit_mask(score)),
                    mask_bits(d, hn::RebindMask(d, bad)), hits);
    };
    std::size_t i = 0;
    // Four vectors a step, and one branch for all of them: hits are rare.
    for (; i + 4 * lanes <= count; i += 4 * lanes) {
        const auto a = hn::LoadU(d, scores + i);
        const auto b = hn::LoadU(d, scores + i + lanes);
        const auto c = hn::LoadU(d, scores + i + 2 * lanes);
        const auto e = hn::LoadU(d, scores + i + 3 * lanes);
        const auto any = hn::Or(hn::Or(hit_mask(a), hit_mask(b)), hn::Or(hit_mask(c), hit_mask(e)));
        if (HWY_UNLIKELY(!hn::AllFalse(d, any))) {
            record(i, a);
            record(i + lanes, b);
            record(i + 2 * lanes, c);
            record(i + 3 * lanes, e);
        }
    }
    for (; i < count; ++i) {
        const bool bad = !std::isfinite(scores[i]);
        if (bad) hits.not_finite.push_back(first + static_cast<std::uint32_t>(i));
        if (!bad && scores[i] >= threshold)
            hits.candidates.push_back(first + static_cast<std::uint32_t>(i));
    }
}

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

/// The upper 32 bits of KeyedRandom::bits for the ids 2 `block`, 2 `block` + 1, ..., 2 x lanes of
/// them.
HWY_INLINE void philox_upper_words(std::uint64_t block, const std::uint32_t* key,
                                   const std::uint32_t* tail, std::uint32_t* HWY_RESTRICT out) {
    const Words d;
    const auto block_low = static_cast<std::uint32_t>(block);
    auto c0 = hn::Add(hn::Set(d, block_low), hn::Iota(d, 0));
    // Lanes whose low word wrapped around carry into the high word.
    auto c1 = hn::IfThenElse(hn::Lt(c0, hn::Set(d, block_low)),
                             hn::Set(d, static_cast<std::uint32_t>(block >> 32) + 1),
                             hn::Set(d, static_cast<std::uint32_t>(block >> 32)));
    auto c2 = hn::Set(d, tail[0]);
    auto c3 = hn::Set(d, tail[1]);
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
    hn::StoreInterleaved2(c0, c2, d, out);
}

/// Rows whose key can reach the threshold. With u the row's uniform number and v = 1 - u, the key
/// s / t - log(-log u) reaches T exactly if -log(1 - v) <= exp(s / t - T); and v + v^2/2 + v^3/3
/// never exceeds -log(1 - v). v is rounded down to its upper 31 bits and the right side up by more
/// than the error of exp, so no row that reaches T is missed.
void scan_gumbel_keys(const float* HWY_RESTRICT scores, std::size_t count, std::uint32_t first,
                      std::int64_t first_id, const KeyedRandom& random, double temperature,
                      double threshold, ScanHits& hits) {
    const Floats d;
    const Words dw;
    const hn::ScalableTag<std::int32_t> di;
    const std::size_t lanes = hn::Lanes(d);
    constexpr std::size_t kChunk = 256;
    HWY_ALIGN std::uint32_t words[kChunk + 2 * HWY_MAX_BYTES / 4];
    const auto key = random.key();
    const auto counter = random.counter(first_id);
    const std::uint32_t tail[2] = {counter[2], counter[3]};

    const auto inverse = hn::Set(d, static_cast<float>(1.0 / temperature));
    const auto limit = hn::Set(d, static_cast<float>(threshold));
    const float magnitude_t = static_cast<float>(std::abs(threshold));
    const auto magnitude = hn::Set(dw, 0x7fffffffU);
    const auto largest = hn::Set(dw, kInfinityBits - 1);
    const auto third = hn::Set(d, 1.0F / 3.0F);
    const auto half = hn::Set(d, 0.5F);
    const auto one = hn::Set(d, 1.0F);
    const auto four =
        hn::Set(d, 4.0F);  // v + v^2/2 + v^3/3 stays below exp(4); Exp has an upper end
    // float rounding of s / t and T in the exponent: relative to their size, plus the error of exp.
    const auto slack_base = hn::Set(d, 1.0e-5F + 4.0e-7F * magnitude_t);
    const auto slack_slope = hn::Set(d, 4.0e-7F);

    std::size_t done = 0;
    while (done < count) {
        const std::size_t chunk = std::min(kChunk, count - done);
        const std::int64_t id = first_id + static_cast<std::int64_t>(done);
        const std::size_t odd = static_cast<std::size_t>(id & 1);
        const std::uint64_t block = static_cast<std::uint64_t>(id) >> 1;
        for (std::size_t word = 0; word < chunk + odd; word += 2 * lanes) {
            philox_upper_words(block + word / 2, key.data(), tail, words + word);
        }
        std::size_t i = 0;
        for (; i + lanes <= chunk; i += lanes) {
            const auto score = hn::LoadU(d, scores + done + i);
            const auto bits = hn::LoadU(dw, words + odd + i);
            const auto v =
                hn::Mul(hn::ConvertTo(d, hn::BitCast(di, hn::ShiftRight<1>(hn::Not(bits)))),
                        hn::Set(d, 0x1p-31F * (1.0F - 0x1p-22F)));
            const auto scaled = hn::Mul(score, inverse);
            const auto slack = hn::MulAdd(hn::Abs(scaled), slack_slope, slack_base);
            const auto reach = hn::Exp(d, hn::Min(hn::Add(hn::Sub(scaled, limit), slack), four));
            const auto lower = hn::Mul(v, hn::MulAdd(v, hn::MulAdd(v, third, half), one));
            const auto bad =
                hn::RebindMask(d, hn::Gt(hn::And(hn::BitCast(dw, score), magnitude), largest));
            const auto any = hn::Or(hn::Le(lower, reach), bad);
            if (HWY_UNLIKELY(!hn::AllFalse(d, any))) {
                record_hits(first + static_cast<std::uint32_t>(done + i), mask_bits(d, any),
                            mask_bits(d, bad), hits);
            }
        }
        for (; i < chunk; ++i) {  // the last few go to the exact key without a test
            const auto offset = first + static_cast<std::uint32_t>(done + i);
            (std::isfinite(scores[done + i]) ? hits.candidates : hits.not_finite).push_back(offset);
        }
        done += chunk;
    }
}

const char* target_name() { return hwy::TargetName(HWY_TARGET); }

}  // namespace thresher::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace thresher {

HWY_EXPORT(scan_scores);
HWY_EXPORT(scan_gumbel_keys);
HWY_EXPORT(target_name);

void scan_scores(std::span<const float> scores, std::uint32_t first, float threshold,
                 ScanHits& hits) {
    HWY_DYNAMIC_DISPATCH(scan_scores)(scores.data(), scores.size(), first, threshold, hits);
}

void scan_gumbel_keys(std::span<const float> scores, std::uint32_t first, std::int64_t first_id,
                      const KeyedRandom& random, double temperature, double threshold,
                      ScanHits& hits) {
    HWY_DYNAMIC_DISPATCH(scan_gumbel_keys)
    (scores.data(), scores.size(), first, first_id, random, temperature, threshold, hits);
}

const char* scan_target() { return HWY_DYNAMIC_DISPATCH(target_name)(); }

}  // namespace thresher
#endif
