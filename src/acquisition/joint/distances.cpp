#include "src/acquisition/joint/distances.hpp"

#include <algorithm>

#include "src/base/check.hpp"

// Highway compiles this file once for each instruction set and picks the best at run time.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/acquisition/joint/distances.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace thresher::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::ScalableTag<float>;

HWY_INLINE hn::Vec<Floats> add_square(const float* HWY_RESTRICT row,
                                      const float* HWY_RESTRICT centre, hn::Vec<Floats> sum) {
    const auto difference = hn::Sub(hn::LoadU(Floats(), row), hn::LoadU(Floats(), centre));
    return hn::MulAdd(difference, difference, sum);
}

void squared_norms(const float* HWY_RESTRICT rows, std::size_t n, std::size_t d,
                   float* HWY_RESTRICT norms) {
    const Floats tag;
    const std::size_t lanes = hn::Lanes(tag);
    for (std::size_t i = 0; i < n; ++i) {
        const float* HWY_RESTRICT row = rows + i * d;
        auto sum = hn::Zero(tag);
        std::size_t j = 0;
        for (; j + lanes <= d; j += lanes) {
            const auto values = hn::LoadU(tag, row + j);
            sum = hn::MulAdd(values, values, sum);
        }
        float total = hn::GetLane(hn::SumOfLanes(tag, sum));
        for (; j < d; ++j) total += row[j] * row[j];
        norms[i] = total;
    }
}

/// Rows in their order, so that memory is read as one stream.
void update_nearest(const float* HWY_RESTRICT rows, std::size_t n, std::size_t d,
                    const float* HWY_RESTRICT centre, float* HWY_RESTRICT nearest) {
    const Floats tag;
    const std::size_t lanes = hn::Lanes(tag);
    for (std::size_t i = 0; i < n; ++i) {
        const float* HWY_RESTRICT row = rows + i * d;
        auto even = hn::Zero(tag), odd = even;
        std::size_t j = 0;
        for (; j + 2 * lanes <= d; j += 2 * lanes) {
            even = add_square(row + j, centre + j, even);
            odd = add_square(row + j + lanes, centre + j + lanes, odd);
        }
        if (j + lanes <= d) {
            even = add_square(row + j, centre + j, even);
            j += lanes;
        }
        float total = hn::GetLane(hn::SumOfLanes(tag, hn::Add(even, odd)));
        for (; j < d; ++j) {
            const float difference = row[j] - centre[j];
            total += difference * difference;
        }
        nearest[i] = std::min(nearest[i], total);
    }
}

template <bool kDot, class Tag>
HWY_INLINE void add_pair(Tag tag, float coordinate, hn::Vec<Tag> first, hn::Vec<Tag> second,
                         hn::Vec<Tag>& first_sum, hn::Vec<Tag>& second_sum) {
    const auto x = hn::Set(tag, coordinate);
    if constexpr (kDot) {
        first_sum = hn::MulAdd(x, first, first_sum);
        second_sum = hn::MulAdd(x, second, second_sum);
    } else {
        const auto to_first = hn::Sub(x, first), to_second = hn::Sub(x, second);
        first_sum = hn::MulAdd(to_first, to_first, first_sum);
        second_sum = hn::MulAdd(to_second, to_second, second_sum);
    }
}

/// Rows [n, d] with two vectors of columns, coordinate j of which is kPanel behind that before;
/// out[i * width] and `apart` behind it are where they go. As many sums in flight as there are
/// registers for.
template <bool kDot, class Tag>
HWY_INLINE void pair_up_columns(Tag tag, const float* HWY_RESTRICT rows, std::size_t n,
                                std::size_t d, const float* HWY_RESTRICT first,
                                const float* HWY_RESTRICT second, float* HWY_RESTRICT out,
                                std::size_t apart, std::size_t width) {
    std::size_t i = 0;
    for (; i + 6 <= n; i += 6) {
        const float* HWY_RESTRICT r0 = rows + i * d;
        const float* HWY_RESTRICT r1 = r0 + d;
        const float* HWY_RESTRICT r2 = r1 + d;
        const float* HWY_RESTRICT r3 = r2 + d;
        const float* HWY_RESTRICT r4 = r3 + d;
        const float* HWY_RESTRICT r5 = r4 + d;
        auto s00 = hn::Zero(tag), s01 = s00;
        auto s10 = s00, s11 = s00;
        auto s20 = s00, s21 = s00;
        auto s30 = s00, s31 = s00;
        auto s40 = s00, s41 = s00;
        auto s50 = s00, s51 = s00;
        for (std::size_t j = 0; j < d; ++j) {
            const auto c0 = hn::LoadU(tag, first + j * PackedRows::kPanel);
            const auto c1 = hn::LoadU(tag, second + j * PackedRows::kPanel);
            add_pair<kDot>(tag, r0[j], c0, c1, s00, s01);
            add_pair<kDot>(tag, r1[j], c0, c1, s10, s11);
            add_pair<kDot>(tag, r2[j], c0, c1, s20, s21);
            add_pair<kDot>(tag, r3[j], c0, c1, s30, s31);
            add_pair<kDot>(tag, r4[j], c0, c1, s40, s41);
            add_pair<kDot>(tag, r5[j], c0, c1, s50, s51);
        }
        float* HWY_RESTRICT at = out + i * width;
        hn::StoreU(s00, tag, at);
        hn::StoreU(s01, tag, at + apart);
        hn::StoreU(s10, tag, at += width);
        hn::StoreU(s11, tag, at + apart);
        hn::StoreU(s20, tag, at += width);
        hn::StoreU(s21, tag, at + apart);
        hn::StoreU(s30, tag, at += width);
        hn::StoreU(s31, tag, at + apart);
        hn::StoreU(s40, tag, at += width);
        hn::StoreU(s41, tag, at + apart);
        hn::StoreU(s50, tag, at += width);
        hn::StoreU(s51, tag, at + apart);
    }
    for (; i < n; ++i) {
        auto s0 = hn::Zero(tag), s1 = s0;
        for (std::size_t j = 0; j < d; ++j) {
            add_pair<kDot>(tag, rows[i * d + j], hn::LoadU(tag, first + j * PackedRows::kPanel),
                           hn::LoadU(tag, second + j * PackedRows::kPanel), s0, s1);
        }
        hn::StoreU(s0, tag, out + i * width);
        hn::StoreU(s1, tag, out + i * width + apart);
    }
}

template <bool kDot>
void pair_up(const float* HWY_RESTRICT rows, std::size_t n, std::size_t d,
             const float* HWY_RESTRICT packed, std::size_t width, float* HWY_RESTRICT out) {
    constexpr std::size_t kPanel = PackedRows::kPanel;
    const hn::CappedTag<float, kPanel> whole;
    std::size_t panel = 0;
    if (hn::Lanes(whole) == kPanel) {
        for (; panel + 2 * kPanel <= width; panel += 2 * kPanel) {
            const float* HWY_RESTRICT first = packed + panel * d;
            pair_up_columns<kDot>(whole, rows, n, d, first, first + kPanel * d, out + panel, kPanel,
                                  width);
        }
    }
    const hn::CappedTag<float, kPanel / 2> half;
    const std::size_t lanes = hn::Lanes(half);
    for (; panel < width; panel += kPanel) {
        for (std::size_t c = 0; c < kPanel; c += 2 * lanes) {
            const float* HWY_RESTRICT first = packed + panel * d + c;
            pair_up_columns<kDot>(half, rows, n, d, first, first + lanes, out + panel + c, lanes,
                                  width);
        }
    }
}

void pair_up_products(const float* HWY_RESTRICT rows, std::size_t n, std::size_t d,
                      const float* HWY_RESTRICT packed, std::size_t width,
                      float* HWY_RESTRICT out) {
    pair_up<true>(rows, n, d, packed, width, out);
}

void pair_up_distances(const float* HWY_RESTRICT rows, std::size_t n, std::size_t d,
                       const float* HWY_RESTRICT packed, std::size_t width,
                       float* HWY_RESTRICT out) {
    pair_up<false>(rows, n, d, packed, width, out);
}

}  // namespace thresher::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace thresher {

HWY_EXPORT(squared_norms);
HWY_EXPORT(update_nearest);
HWY_EXPORT(pair_up_products);
HWY_EXPORT(pair_up_distances);

void squared_norms(std::span<const float> rows, std::size_t d, std::span<float> norms) {
    HWY_DYNAMIC_DISPATCH(squared_norms)(rows.data(), norms.size(), d, norms.data());
}

void update_nearest(std::span<const float> rows, std::span<const float> centre,
                    std::span<float> nearest) {
    HWY_DYNAMIC_DISPATCH(update_nearest)
    (rows.data(), nearest.size(), centre.size(), centre.data(), nearest.data());
}

void PackedRows::pack(std::span<const float> rows, std::size_t d) {
    d_ = d;
    rows_ = rows.size() / d;
    width_ = (rows_ + kPanel - 1) / kPanel * kPanel;
    values_.assign(width_ * d, 0.0F);
    for (std::size_t row = 0; row < rows_; ++row) {
        float* panel = values_.data() + row / kPanel * kPanel * d + row % kPanel;
        for (std::size_t j = 0; j < d; ++j) panel[j * kPanel] = rows[row * d + j];
    }
}

void pair_up(Pairing pairing, std::span<const float> rows, const PackedRows& packed,
             std::span<float> out) {
    const std::size_t n = rows.size() / packed.embedding_size();
    if (pairing == Pairing::dot_product) {
        HWY_DYNAMIC_DISPATCH(pair_up_products)
        (rows.data(), n, packed.embedding_size(), packed.data(), packed.width(), out.data());
    } else {
        HWY_DYNAMIC_DISPATCH(pair_up_distances)
        (rows.data(), n, packed.embedding_size(), packed.data(), packed.width(), out.data());
    }
}

}  // namespace thresher
#endif
