#include "src/acquisition/joint/race.hpp"

#include <algorithm>
#include <limits>
#include <numeric>

// Highway compiles this file once for each instruction set and picks the best at run time.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/acquisition/joint/race.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "src/random/philox-inl.hpp"

#ifndef THRESHER_RACE_CHUNK
#define THRESHER_RACE_CHUNK
namespace thresher {
constexpr std::size_t kRaceChunk = 256;  ///< rows that are looked at together
}
#endif

HWY_BEFORE_NAMESPACE();
namespace thresher::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

/// Writes which of n rows with consecutive ids, kRaceChunk at most, are not beaten by `best`, and
/// returns their number. `counter` is that of the block of the first id, in which it has place
/// `first_place`, 0 or 1.
///
/// A uniform number u that begins with the 24 bits k is below (k + 1) / 2^24, so its -log u is
/// above 1 - u > (2^24 - 1 - k) / 2^24: one whose weight is below `best` times that is beaten.
std::size_t find_unbeaten(const std::array<std::uint32_t, 2>& key,
                          const std::array<std::uint32_t, 4>& counter, std::size_t first_place,
                          const float* HWY_RESTRICT weights, std::size_t n, float best,
                          std::uint32_t* HWY_RESTRICT unbeaten) {
    const Words d;
    const hn::RebindToFloat<Words> floats;
    const std::size_t lanes = hn::Lanes(d);
    HWY_ALIGN std::uint32_t words[kRaceChunk + 2 + 2 * HWY_MAX_BYTES / sizeof(std::uint32_t)];
    const std::size_t blocks = (first_place + n + 1) / 2;
    for (std::size_t block = 0; block < blocks; block += lanes) {
        auto c0 = hn::Iota(d, counter[0] + static_cast<std::uint32_t>(block));
        auto c1 = hn::Set(d, counter[1]), c2 = hn::Set(d, counter[2]), c3 = hn::Set(d, counter[3]);
        philox_rounds(d, key, c0, c1, c2, c3);
        hn::StoreInterleaved2(c0, c2, d, words + 2 * block);
    }
    const auto limit = hn::Set(floats, best * 0x1p-24F);
    std::size_t count = 0, i = 0;
    for (; i + lanes <= n; i += lanes) {
        const auto bits = hn::ShiftRight<8>(hn::LoadU(d, words + first_place + i));
        const auto least = hn::ConvertTo(
            floats, hn::BitCast(hn::RebindToSigned<Words>(), hn::Sub(hn::Set(d, 0xFFFFFFU), bits)));
        const auto beaten = hn::Lt(hn::LoadU(floats, weights + i), hn::Mul(limit, least));
        const auto open = hn::Not(hn::RebindMask(d, beaten));
        if (hn::AllFalse(d, open)) continue;
        // A whole vector at most, behind no more entries than rows before it: within kRaceChunk.
        count += hn::CompressStore(hn::Iota(d, static_cast<std::uint32_t>(i)), open, d,
                                   unbeaten + count);
    }
    for (; i < n; ++i) unbeaten[count++] = static_cast<std::uint32_t>(i);
    return count;
}

}  // namespace thresher::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace thresher {

HWY_EXPORT(find_unbeaten);

namespace {

constexpr std::size_t kFirstRows = 32;
/// Above what floats are rounded by, as long as nothing comes near their smallest numbers.
constexpr double kSlack = 1e-6, kLeastScore = 1e-25;

}  // namespace

void Race::enter_rows(const JointShard& shard, std::span<const float> weights, std::size_t begin) {
    std::array<std::uint32_t, kRaceChunk> unbeaten;
    for (std::size_t at = 0, count = 0; at < weights.size(); at += count) {
        // The first few are there to beat the others.
        count = std::min(at == 0 ? kFirstRows : kRaceChunk, weights.size() - at);
        const std::int64_t first_id = shard.id(begin + at);
        const auto counter = random_.counter(first_id, draw_);
        const bool in_one_run = shard.rows().ids.empty() &&
                                counter[0] <= std::numeric_limits<std::uint32_t>::max() - count;
        std::size_t found = count;
        if (in_one_run && best_.score > kLeastScore) {
            const double best =
                std::min(best_.score * (1.0 - kSlack), double{std::numeric_limits<float>::max()});
            found = HWY_DYNAMIC_DISPATCH(find_unbeaten)(
                random_.key(), counter, static_cast<std::size_t>(first_id & 1), weights.data() + at,
                count, static_cast<float>(best), unbeaten.data());
        } else {
            std::iota(unbeaten.begin(), unbeaten.begin() + static_cast<std::ptrdiff_t>(count), 0U);
        }
        for (std::size_t i = 0; i < found; ++i) {
            const std::size_t place = at + unbeaten[i], row = begin + place;
            if (shard.open(row)) enter(double{weights[place]}, shard.id(row), row);
        }
    }
}

}  // namespace thresher
#endif
