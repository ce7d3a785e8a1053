#include "src/selection/scan.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "src/selection/ordered_key.hpp"

// Highway compiles this file once for each instruction set and picks the best at run time.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/selection/scan.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <hwy/contrib/math/math-inl.h>

#include "src/random/philox-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace thresher::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::ScalableTag<float>;

constexpr std::size_t kChunk = 1024;  ///< rows whose hits are buffered on the stack
constexpr std::size_t kHitSlack = 4;  ///< hits are written in fours
constexpr std::size_t kMaxLanes = HWY_MAX_BYTES / sizeof(float);

/// Which rows of one chunk passed a test: one bit a row, written vector by vector and read later (a
/// word read right after its bytes were written would wait for them). Vectors of fewer than eight
/// lanes leave the upper bits of their byte empty.
class HitBits {
  public:
    /// Rows that are read at once.
    static HWY_INLINE std::size_t word_rows() { return sizeof(std::uint64_t) << shift(); }

    /// The mask of the rows from `row` on, a multiple of the lanes.
    template <class Mask>
    HWY_INLINE void store(Floats d, Mask mask, std::size_t row) {
        // May write up to 8 bytes; those behind the mask's own are written again by the next.
        hn::StoreMaskBits(d, mask, bytes_ + (row >> shift()));
    }

    /// Writes `base` + row for the rows of the word that begins at `begin` whose bit is set, and
    /// returns their count; `out` has room for kHitSlack more. Branches only where there are more
    /// than four: whether there are any cannot be predicted.
    HWY_INLINE std::size_t read_word(std::size_t begin, std::uint32_t base,
                                     std::uint32_t* HWY_RESTRICT out) const {
        const std::size_t byte = begin >> shift();
        std::uint64_t bits = 0;
        std::memcpy(&bits, bytes_ + byte, sizeof(bits));
        const auto count = static_cast<std::size_t>(std::popcount(bits));
        do {
            for (std::size_t i = 0; i < kHitSlack; ++i, bits &= bits - 1) {
                *out++ = base + row(byte, bits);
            }
        } while (bits != 0);
        return count;
    }

    /// As read_word, for all words of the first `rows`, a multiple of the lanes.
    HWY_INLINE std::size_t read(std::size_t rows, std::uint32_t base,
                                std::uint32_t* HWY_RESTRICT out) {
        std::memset(bytes_ + (rows >> shift()), 0, sizeof(std::uint64_t));
        std::size_t count = 0;
        for (std::size_t begin = 0; begin < rows; begin += word_rows()) {
            count += read_word(begin, base, out + count);
        }
        return count;
    }

  private:
    /// The row of the lowest bit of a word.
    static HWY_INLINE std::uint32_t row(std::size_t byte, std::uint64_t bits) {
        const auto bit = static_cast<std::uint32_t>(std::countr_zero(bits));
        return ((static_cast<std::uint32_t>(byte) + bit / 8) << shift()) + bit % 8;
    }

    /// A byte holds 2^shift rows.
    static HWY_INLINE int shift() {
        return std::min(3, std::countr_zero(static_cast<std::uint32_t>(hn::Lanes(Floats()))));
    }

    HWY_ALIGN std::uint8_t bytes_[kChunk + 8 + HWY_MAX_BYTES / 8] = {};
};

/// True in the lanes whose score is infinite or not a number.
template <class V>
HWY_INLINE auto not_finite_mask(Floats d, V score) {
    const Words dw;
    const auto magnitude = hn::And(hn::BitCast(dw, score), hn::Set(dw, 0x7fffffffU));
    return hn::RebindMask(d, hn::Gt(magnitude, hn::Set(dw, 0x7f7fffffU)));
}

/// The keys of the hits of `scores`, from the offsets alone; hits that are not finite move to
/// `not_finite`.
void compute_keys(std::span<const float> scores, std::uint32_t first, Hits& found,
                  std::vector<std::uint32_t>& not_finite) {
    const float* HWY_RESTRICT all = scores.data();
    const std::uint32_t* HWY_RESTRICT offsets = found.offsets_data();
    std::uint32_t* HWY_RESTRICT keys = found.keys_data();
    std::uint32_t largest = 0;
    for (std::size_t hit = 0; hit < found.size(); ++hit) {
        const float score = all[offsets[hit] - first];
        keys[hit] = ordered_key(score);
        largest = std::max(largest, std::bit_cast<std::uint32_t>(std::abs(score)));
    }
    if (std::isfinite(std::bit_cast<float>(largest))) return;
    found.erase_if([&](std::uint32_t offset) {
        const bool finite = std::isfinite(all[offset - first]);
        if (!finite) not_finite.push_back(offset);
        return !finite;
    });
}

void scan_scores(std::span<const float> scores, std::uint32_t first, float threshold, Hits& found,
                 std::vector<std::uint32_t>& not_finite) {
    const Floats d;
    const std::size_t lanes = hn::Lanes(d);
    const auto limit = hn::Set(d, threshold);
    const auto lowest = hn::Set(d, std::numeric_limits<float>::lowest());
    found.restart(scores.size() + kHitSlack);
    std::uint32_t* HWY_RESTRICT offsets = found.offsets_data();
    std::size_t count = 0;
    std::size_t begin = 0;

    // The hits of a chunk are read while the next one is compared, which waits for memory.
    HitBits bits[2];
    std::uint32_t base = 0;  // of the chunk before; at first one without a hit
    for (; begin + kChunk <= scores.size(); begin += kChunk) {
        const float* HWY_RESTRICT chunk = scores.data() + begin;
        HitBits& now = bits[begin / kChunk % 2];
        const HitBits& before = bits[1 - begin / kChunk % 2];
        for (std::size_t row = 0; row < kChunk; row += HitBits::word_rows()) {
            for (std::size_t i = row; i < row + HitBits::word_rows(); i += lanes) {
                const auto score = hn::LoadU(d, chunk + i);
                // Hits, and what is not finite: all but the finite scores below the limit.
                now.store(d, hn::Not(hn::And(hn::Lt(score, limit), hn::Ge(score, lowest))), i);
            }
            count += before.read_word(row, base, offsets + count);
        }
        base = first + static_cast<std::uint32_t>(begin);
    }
    if (begin > 0) count += bits[1 - begin / kChunk % 2].read(kChunk, base, offsets + count);
    for (; begin < scores.size(); ++begin) {
        if (!(scores[begin] < threshold) || !std::isfinite(scores[begin])) {
            offsets[count++] = first + static_cast<std::uint32_t>(begin);
        }
    }
    found.set_size(count);
    compute_keys(scores, first, found, not_finite);
}

/// KeyedRandom::bits of the ids 2 `block`, 2 `block` + 1, ... as words {low, high}: 4 x lanes of
/// them.
HWY_INLINE void philox_bits(std::uint64_t block, const std::array<std::uint32_t, 2>& key,
                            std::uint32_t tail0, std::uint32_t tail1,
                            std::uint32_t* HWY_RESTRICT out) {
    const Words d;
    const auto block_low = static_cast<std::uint32_t>(block);
    const auto block_high = static_cast<std::uint32_t>(block >> 32);
    auto c0 = hn::Add(hn::Set(d, block_low), hn::Iota(d, 0));
    // Lanes whose low word wrapped around carry into the high word.
    auto c1 = hn::IfThenElse(hn::Lt(c0, hn::Set(d, block_low)), hn::Set(d, block_high + 1),
                             hn::Set(d, block_high));
    auto c2 = hn::Set(d, tail0);
    auto c3 = hn::Set(d, tail1);
    philox_rounds(d, key, c0, c1, c2, c3);
    hn::StoreInterleaved4(c1, c0, c3, c2, d, out);
}

/// The upper words of lanes consecutive 64-bit numbers.
HWY_INLINE auto upper_words(Words d, const std::uint32_t* HWY_RESTRICT bits) {
#if HWY_TARGET == HWY_SCALAR
    return hn::Set(d, bits[1]);
#else
    return hn::ConcatOdd(d, hn::LoadU(d, bits + hn::Lanes(d)), hn::LoadU(d, bits));
#endif
}

void compute_gumbel_keys(const GumbelKeys& keys, const float* HWY_RESTRICT scores,
                         const std::uint64_t* HWY_RESTRICT bits, std::size_t count,
                         float* HWY_RESTRICT out) {
    const hn::ScalableTag<double> d;
    const std::size_t lanes = hn::Lanes(d);
    const auto beta = hn::Set(d, keys.beta);
    const auto centre = hn::Set(d, keys.centre);
    HWY_ALIGN double uniform[HWY_MAX_BYTES / sizeof(double)] = {};
    HWY_ALIGN double score[HWY_MAX_BYTES / sizeof(double)] = {};
    HWY_ALIGN double key[HWY_MAX_BYTES / sizeof(double)];
    for (std::size_t i = 0; i < count; i += lanes) {
        const std::size_t part = std::min(lanes, count - i);
        for (std::size_t lane = 0; lane < part; ++lane) {
            uniform[lane] = open_uniform(bits[i + lane]);
            score[lane] = scores[i + lane];
        }
        const auto exponential = hn::Neg(hn::Log(d, hn::Load(d, uniform)));
        const auto scaled = hn::Sub(hn::Mul(hn::Load(d, score), beta), centre);
        hn::Store(hn::Sub(scaled, hn::Log(d, exponential)), d, key);
        for (std::size_t lane = 0; lane < part; ++lane)
            out[i + lane] = static_cast<float>(key[lane]);
    }
}

/// Rows whose key can reach the threshold are found without a logarithm. With u the row's uniform
/// number and v = 1 - u, the key b s - log(-log u) - c reaches T exactly if -log(1 - v) <= exp(b s
/// - c - T); and v + v^2/2 + v^3/3 never exceeds -log(1 - v). v is rounded down to its upper 31
/// bits and the right side up by more than the error of exp, so no row that reaches T is missed.
/// The exact keys of those few decide.
void scan_gumbel_keys(std::span<const float> scores, std::uint32_t first, std::int64_t first_id,
                      const GumbelKeys& keys, float threshold, Hits& found,
                      std::vector<std::uint32_t>& not_finite) {
    const Floats d;
    const Words dw;
    const hn::ScalableTag<std::int32_t> di;
    const std::size_t lanes = hn::Lanes(d);
    HWY_ALIGN std::uint32_t words[2 * kChunk + 8 * kMaxLanes];
    HWY_ALIGN float hit_scores[kChunk + kMaxLanes];
    HWY_ALIGN std::uint64_t hit_bits[kChunk + kMaxLanes];
    HWY_ALIGN float hit_keys[kChunk + kMaxLanes];
    const auto philox_key = keys.random.key();
    const auto counter = keys.random.counter(first_id);

    const double reach_limit = double{threshold} + keys.centre;
    const auto beta = hn::Set(d, static_cast<float>(keys.beta));
    const auto limit = hn::Set(d, static_cast<float>(reach_limit));
    // Rounding of b s, of the limit and of a key at the threshold to float, relative to their size,
    // and the error of exp.
    const auto size_of = [](float value) { return std::min(std::abs(value), 1.0e30F); };
    const auto slack_base =
        hn::Set(d, 1.0e-5F + 4.0e-7F * size_of(static_cast<float>(reach_limit)) +
                       1.0e-7F * size_of(threshold));
    const auto slack_slope = hn::Set(d, 4.0e-7F);
    const auto to_unit = hn::Set(d, 0x1p-31F * (1.0F - 0x1p-22F));
    const auto third = hn::Set(d, 1.0F / 3.0F);
    const auto half = hn::Set(d, 0.5F);
    const auto one = hn::Set(d, 1.0F);
    const auto four = hn::Set(d, 4.0F);  // the left side stays below exp(4)

    found.restart(scores.size());
    HitBits hits;
    std::uint32_t hit_offsets[kChunk + kHitSlack];
    for (std::size_t begin = 0; begin < scores.size(); begin += kChunk) {
        const std::size_t count = std::min(kChunk, scores.size() - begin);
        const float* HWY_RESTRICT chunk = scores.data() + begin;
        const std::int64_t id = first_id + static_cast<std::int64_t>(begin);
        const std::size_t odd = static_cast<std::size_t>(id & 1);
        const std::uint64_t block = static_cast<std::uint64_t>(id) >> 1;
        for (std::size_t row = 0; row < count + odd; row += 2 * lanes) {
            philox_bits(block + row / 2, philox_key, counter[2], counter[3], words + 2 * row);
        }
        const std::uint32_t* HWY_RESTRICT bits = words + 2 * odd;

        std::size_t i = 0;
        for (; i + lanes <= count; i += lanes) {
            const auto score = hn::LoadU(d, chunk + i);
            const auto upper = hn::ShiftRight<1>(hn::Not(upper_words(dw, bits + 2 * i)));
            const auto v = hn::Mul(hn::ConvertTo(d, hn::BitCast(di, upper)), to_unit);
            const auto scaled = hn::Mul(score, beta);
            const auto slack = hn::MulAdd(hn::Abs(scaled), slack_slope, slack_base);
            const auto reach = hn::Exp(d, hn::Min(hn::Add(hn::Sub(scaled, limit), slack), four));
            const auto lower = hn::Mul(v, hn::MulAdd(v, hn::MulAdd(v, third, half), one));
            const auto hit = hn::Or(hn::Le(lower, reach), not_finite_mask(d, score));
            hits.store(d, hit, i);
        }
        std::size_t hit_count = hits.read(i, 0, hit_offsets);
        for (; i < count; ++i) hit_offsets[hit_count++] = static_cast<std::uint32_t>(i);

        for (std::size_t hit = 0; hit < hit_count; ++hit) {
            const std::uint32_t offset = hit_offsets[hit];
            hit_scores[hit] = chunk[offset];
            hit_bits[hit] = (std::uint64_t{bits[2 * offset + 1]} << 32) | bits[2 * offset];
        }
        compute_gumbel_keys(keys, hit_scores, hit_bits, hit_count, hit_keys);
        for (std::size_t hit = 0; hit < hit_count; ++hit) {
            const std::uint32_t row = first + static_cast<std::uint32_t>(begin) + hit_offsets[hit];
            if (!std::isfinite(hit_scores[hit])) {
                not_finite.push_back(row);
            } else if (hit_keys[hit] >= threshold) {
                found.add(ordered_key(hit_keys[hit]), row);
            }
        }
    }
}

const char* target_name() { return hwy::TargetName(HWY_TARGET); }

}  // namespace thresher::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace thresher {

HWY_EXPORT(scan_scores);
HWY_EXPORT(scan_gumbel_keys);
HWY_EXPORT(compute_gumbel_keys);
HWY_EXPORT(target_name);

void scan_scores(std::span<const float> scores, std::uint32_t first, float threshold, Hits& found,
                 std::vector<std::uint32_t>& not_finite) {
    HWY_DYNAMIC_DISPATCH(scan_scores)(scores, first, threshold, found, not_finite);
}

void scan_gumbel_keys(std::span<const float> scores, std::uint32_t first, std::int64_t first_id,
                      const GumbelKeys& keys, float threshold, Hits& found,
                      std::vector<std::uint32_t>& not_finite) {
    HWY_DYNAMIC_DISPATCH(scan_gumbel_keys)
    (scores, first, first_id, keys, threshold, found, not_finite);
}

void GumbelKeys::compute(std::span<const float> scores, std::span<const std::uint64_t> bits,
                         std::span<float> keys) const {
    HWY_DYNAMIC_DISPATCH(compute_gumbel_keys)
    (*this, scores.data(), bits.data(), scores.size(), keys.data());
}

const char* scan_target() { return HWY_DYNAMIC_DISPATCH(target_name)(); }

}  // namespace thresher
#endif
