#include "src/acquisition/joint/similarity.hpp"

#include <algorithm>

#include "src/acquisition/joint/distances.hpp"

// Highway compiles this file once for each instruction set and picks the best at run time.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/acquisition/joint/similarity.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <hwy/contrib/math/math-inl.h>

HWY_BEFORE_NAMESPACE();
namespace thresher::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

/// A width is a multiple of PackedRows::kPanel, and so of the lanes.
using Doubles = hn::CappedTag<double, PackedRows::kPanel / 2>;
using Floats = hn::Rebind<float, Doubles>;

void to_cosine_similarity(float* HWY_RESTRICT tile, std::size_t rows, std::size_t width,
                          const float* HWY_RESTRICT factors) {
    const hn::CappedTag<float, PackedRows::kPanel> tag;
    const auto one = hn::Set(tag, 1.0F);
    for (std::size_t i = 0; i < rows; ++i) {
        const auto factor = hn::Set(tag, factors[i]);
        for (std::size_t j = 0; j < width; j += hn::Lanes(tag)) {
            float* HWY_RESTRICT at = tile + i * width + j;
            hn::StoreU(hn::MulAdd(hn::LoadU(tag, at), factor, one), tag, at);
        }
    }
}

void to_rbf_similarity(float* HWY_RESTRICT tile, std::size_t count, float scale) {
    const hn::CappedTag<float, PackedRows::kPanel> tag;
    const auto negative = hn::Set(tag, -scale);
    for (std::size_t i = 0; i < count; i += hn::Lanes(tag)) {
        hn::StoreU(hn::Exp(tag, hn::Mul(hn::LoadU(tag, tile + i), negative)), tag, tile + i);
    }
}

/// max(0, value - from) on the grid.
template <class V>
HWY_INLINE V rounded_gain(Doubles tag, V value, V from, V rounder) {
    const auto gain = hn::Max(hn::Sub(value, from), hn::Zero(tag));
    return hn::Sub(hn::Add(gain, rounder), rounder);
}

void add_improvements(const float* HWY_RESTRICT tile, std::size_t rows, std::size_t width,
                      const float* HWY_RESTRICT best, double magic, double* HWY_RESTRICT sums) {
    const Doubles tag;
    const Floats narrow;
    const std::size_t lanes = hn::Lanes(tag);
    const auto rounder = hn::Set(tag, magic);
    for (std::size_t c = 0; c < width; c += 2 * lanes) {
        auto low = hn::LoadU(tag, sums + c), high = hn::LoadU(tag, sums + c + lanes);
        for (std::size_t i = 0; i < rows; ++i) {
            const float* HWY_RESTRICT at = tile + i * width + c;
            const auto from = hn::Set(tag, double{best[i]});
            const auto value_low = hn::PromoteTo(tag, hn::LoadU(narrow, at));
            const auto value_high = hn::PromoteTo(tag, hn::LoadU(narrow, at + lanes));
            low = hn::Add(low, rounded_gain(tag, value_low, from, rounder));
            high = hn::Add(high, rounded_gain(tag, value_high, from, rounder));
        }
        hn::StoreU(low, tag, sums + c);
        hn::StoreU(high, tag, sums + c + lanes);
    }
}

void add_changes(const float* HWY_RESTRICT tile, std::size_t rows, std::size_t width,
                 const float* HWY_RESTRICT before, const float* HWY_RESTRICT after,
                 std::size_t first, const double* HWY_RESTRICT starts, double magic,
                 double* HWY_RESTRICT sums) {
    const Doubles tag;
    const Floats narrow;
    const std::size_t lanes = hn::Lanes(tag);
    const auto rounder = hn::Set(tag, magic);
    for (std::size_t c = 0; c < width; c += 2 * lanes) {
        auto low = hn::LoadU(tag, sums + c), high = hn::LoadU(tag, sums + c + lanes);
        const auto start_low = hn::LoadU(tag, starts + c);
        const auto start_high = hn::LoadU(tag, starts + c + lanes);
        for (std::size_t i = 0; i < rows; ++i) {
            const float* HWY_RESTRICT at = tile + i * width + c;
            const auto from = hn::Set(tag, double{before[i]}), to = hn::Set(tag, double{after[i]});
            const auto place = hn::Set(tag, static_cast<double>(first + i));
            const auto value_low = hn::PromoteTo(tag, hn::LoadU(narrow, at));
            const auto value_high = hn::PromoteTo(tag, hn::LoadU(narrow, at + lanes));
            const auto change_low = hn::Sub(rounded_gain(tag, value_low, to, rounder),
                                            rounded_gain(tag, value_low, from, rounder));
            const auto change_high = hn::Sub(rounded_gain(tag, value_high, to, rounder),
                                             rounded_gain(tag, value_high, from, rounder));
            low = hn::Add(low, hn::IfThenElseZero(hn::Ge(place, start_low), change_low));
            high = hn::Add(high, hn::IfThenElseZero(hn::Ge(place, start_high), change_high));
        }
        hn::StoreU(low, tag, sums + c);
        hn::StoreU(high, tag, sums + c + lanes);
    }
}

float subtract_distances(const float* HWY_RESTRICT tile, std::size_t rows, std::size_t width,
                         std::size_t columns, float largest, double magic,
                         double* HWY_RESTRICT sums) {
    const Doubles tag;
    const Floats narrow;
    const std::size_t lanes = hn::Lanes(tag);
    const auto rounder = hn::Set(tag, magic);
    auto most = hn::Set(narrow, largest);
    for (std::size_t c = 0; c < width; c += lanes) {
        const auto used = hn::FirstN(narrow, columns > c ? std::min(lanes, columns - c) : 0);
        auto sum = hn::LoadU(tag, sums + c);
        for (std::size_t i = 0; i < rows; ++i) {
            const auto distance = hn::LoadU(narrow, tile + i * width + c);
            most = hn::Max(most, hn::IfThenElseZero(used, distance));
            const auto wide = hn::PromoteTo(tag, distance);
            sum = hn::Sub(sum, hn::Sub(hn::Add(wide, rounder), rounder));
        }
        hn::StoreU(sum, tag, sums + c);
    }
    return hn::GetLane(hn::MaxOfLanes(narrow, most));
}

}  // namespace thresher::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace thresher {

HWY_EXPORT(to_cosine_similarity);
HWY_EXPORT(to_rbf_similarity);
HWY_EXPORT(add_improvements);
HWY_EXPORT(add_changes);
HWY_EXPORT(subtract_distances);

void to_cosine_similarity(std::span<float> tile, std::size_t width,
                          std::span<const float> factors) {
    HWY_DYNAMIC_DISPATCH(to_cosine_similarity)
    (tile.data(), factors.size(), width, factors.data());
}

void to_rbf_similarity(std::span<float> tile, float scale) {
    HWY_DYNAMIC_DISPATCH(to_rbf_similarity)(tile.data(), tile.size(), scale);
}

void add_improvements(std::span<const float> tile, std::size_t width, std::span<const float> best,
                      double magic, std::span<double> sums) {
    HWY_DYNAMIC_DISPATCH(add_improvements)
    (tile.data(), best.size(), width, best.data(), magic, sums.data());
}

void add_changes(std::span<const float> tile, std::size_t width, std::span<const float> before,
                 std::span<const float> after, std::size_t first, std::span<const double> starts,
                 double magic, std::span<double> sums) {
    HWY_DYNAMIC_DISPATCH(add_changes)
    (tile.data(), before.size(), width, before.data(), after.data(), first, starts.data(), magic,
     sums.data());
}

float subtract_distances(std::span<const float> tile, std::size_t width, std::size_t columns,
                         float largest, double magic, std::span<double> sums) {
    return HWY_DYNAMIC_DISPATCH(subtract_distances)(tile.data(), tile.size() / width, width,
                                                    columns, largest, magic, sums.data());
}

}  // namespace thresher
#endif
