#include "src/training/prioritised/softplus_sums.hpp"

#include <algorithm>

// Highway compiles this file once for each instruction set and picks the best at run time.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/training/prioritised/softplus_sums.cpp"
#include "src/acquisition/targets.hpp"

#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "src/acquisition/lanes-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace thresher::HWY_NAMESPACE {

using D = hn::ScalableTag<float>;

/// log(1 + exp(x)) = max(x, 0) + log(1 + u) with u = exp(-|x|), and log(1 + u) = 2 artanh(s) with s
/// = u / (2 + u), at most 1/3: the series up to s^13, which leaves 5e-9 of it.
HWY_INLINE Floats softplus(const Floats& x) {
    const auto away = each([](auto v) { return hn::Neg(hn::Abs(v)); }, x);
    const auto u = exp(clamp_below(away, kLowestFloat));
    const auto s = u / (u + all<D>(2.0F));
    const auto s2 = s * s;
    auto p = fma(s2, all<D>(2.0F / 13.0F), all<D>(2.0F / 11.0F));
    p = fma(p, s2, all<D>(2.0F / 9.0F));
    p = fma(p, s2, all<D>(2.0F / 7.0F));
    p = fma(p, s2, all<D>(2.0F / 5.0F));
    p = fma(p, s2, all<D>(2.0F / 3.0F));
    p = fma(p, s2, all<D>(2.0F));
    return fma(p, s, max(x, all<D>(0.0F)));
}

HWY_INLINE Floats load_unaligned(const float* HWY_RESTRICT from) {
    const D d;
    constexpr std::size_t kStep = kFloats / 4;
    return {hn::LoadU(d, from), hn::LoadU(d, from + kStep), hn::LoadU(d, from + 2 * kStep),
            hn::LoadU(d, from + 3 * kStep)};
}

void add_softplus_sums(const float* HWY_RESTRICT products, std::size_t width, std::size_t columns,
                       float scale, float bias, double weight, std::size_t n,
                       double* HWY_RESTRICT sums) {
    const D d;
    const auto a = all<D>(scale), b = all<D>(bias);
    HWY_ALIGN float tail[kFloats];
    for (std::size_t i = 0; i < n; ++i) {
        const float* HWY_RESTRICT row = products + i * width;
        auto sum = all<D>(0.0F);
        std::size_t j = 0;
        for (; j + kFloats <= columns; j += kFloats) {
            sum = sum + softplus(fma(a, load_unaligned(row + j), b));
        }
        if (j < columns) {
            std::fill(std::copy(row + j, row + columns, tail), tail + kFloats, 0.0F);
            store_floats(softplus(fma(a, load_floats(tail), b)), tail);
            std::fill(tail + columns - j, tail + kFloats, 0.0F);
            sum = sum + load_floats(tail);
        }
        const auto halves = hn::Add(hn::Add(sum.v0, sum.v1), hn::Add(sum.v2, sum.v3));
        const float total = hn::GetLane(hn::SumOfLanes(d, halves));
        sums[i] += weight * double{total};
    }
}

}  // namespace thresher::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace thresher {

HWY_EXPORT(add_softplus_sums);

void add_softplus_sums(std::span<const float> products, std::size_t width, std::size_t columns,
                       float scale, float bias, double weight, std::span<double> sums) {
    HWY_DYNAMIC_DISPATCH(add_softplus_sums)
    (products.data(), width, columns, scale, bias, weight, sums.size(), sums.data());
}

}  // namespace thresher
#endif
