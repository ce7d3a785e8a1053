#include "src/models/mask_fill.hpp"

#include <algorithm>

// Highway compiles this file once for each instruction set and picks the best at run time.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/models/mask_fill.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "src/random/philox-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace thresher::HWY_NAMESPACE {

/// The factors of 4 x lanes elements from block `first` on.
HWY_INLINE void fill_blocks(std::uint32_t first, const std::array<std::uint32_t, 3>& tail,
                            const std::array<std::uint32_t, 2>& key, std::uint32_t least_kept,
                            float kept, float* HWY_RESTRICT out) {
    const Words d;
    const hn::ScalableTag<float> floats;
    auto c0 = hn::Add(hn::Set(d, first), hn::Iota(d, 0));
    auto c1 = hn::Set(d, tail[0]), c2 = hn::Set(d, tail[1]), c3 = hn::Set(d, tail[2]);
    philox_rounds(d, key, c0, c1, c2, c3);
    const auto factor = [&](auto word) {
        const auto drop = hn::RebindMask(floats, hn::Lt(word, hn::Set(d, least_kept)));
        return hn::IfThenZeroElse(drop, hn::Set(floats, kept));
    };
    hn::StoreInterleaved4(factor(c0), factor(c1), factor(c2), factor(c3), floats, out);
}

void fill_mask_row(const std::array<std::uint32_t, 3>& tail,
                   const std::array<std::uint32_t, 2>& key, std::uint32_t least_kept, float kept,
                   float* out, std::size_t count) {
    const std::size_t blocks = hn::Lanes(Words()), step = 4 * blocks;
    std::uint32_t block = 0;
    for (; count >= step; count -= step, out += step) {
        fill_blocks(block, tail, key, least_kept, kept, out);
        block += static_cast<std::uint32_t>(blocks);
    }
    if (count == 0) return;
    HWY_ALIGN float last[4 * HWY_MAX_BYTES / sizeof(float)];
    fill_blocks(block, tail, key, least_kept, kept, last);
    std::copy_n(last, count, out);
}

}  // namespace thresher::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace thresher {

HWY_EXPORT(fill_mask_row);

void fill_mask(const std::array<std::uint32_t, 3>& tail, const std::array<std::uint32_t, 2>& key,
               std::uint64_t least_kept, float kept, std::span<float> out) {
    if (least_kept > 0xFFFFFFFFU) {
        std::fill(out.begin(), out.end(), 0.0F);
        return;
    }
    HWY_DYNAMIC_DISPATCH(fill_mask_row)
    (tail, key, static_cast<std::uint32_t>(least_kept), kept, out.data(), out.size());
}

}  // namespace thresher
#endif
