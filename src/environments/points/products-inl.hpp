// Small matrix products of many learners side by side: every element is a vector with one lane a
// learner. Included by sources that Highway compiles once an instruction set.

#if defined(THRESHER_ENVIRONMENTS_PRODUCTS_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef THRESHER_ENVIRONMENTS_PRODUCTS_INL_HPP
#undef THRESHER_ENVIRONMENTS_PRODUCTS_INL_HPP
#else
#define THRESHER_ENVIRONMENTS_PRODUCTS_INL_HPP
#endif

#include <hwy/highway.h>

#include <cstddef>

HWY_BEFORE_NAMESPACE();
namespace thresher::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;
constexpr std::size_t kLanes = hn::MaxLanes(D());

/// Where the elements of a factor are: floats from one row, and from one column, to the next.
struct Factor {
    const float* data;
    std::size_t row, column;
};
/// The product's rows; its columns follow each other.
struct Product {
    float* data;
    std::size_t row;
};

/// A tile of the product, summed over the inner index one term after the other, so that an element
/// never depends on the tile it is in.
template <int kRows, int kColumns, bool kShared>
HWY_INLINE void multiply_tile(const Factor& a, const Factor& b, const Product& out,
                              std::size_t inner, bool add) {
    const D d;
    V sum[kRows][kColumns];
    for (int r = 0; r < kRows; ++r) {
        for (int c = 0; c < kColumns; ++c) {
            const float* const at = out.data + static_cast<std::size_t>(r) * out.row +
                                    static_cast<std::size_t>(c) * kLanes;
            sum[r][c] = add ? hn::Load(d, at) : hn::Zero(d);
        }
    }
    const float* HWY_RESTRICT left = a.data;
    const float* HWY_RESTRICT right = b.data;
    for (std::size_t k = 0; k < inner; ++k, left += a.column, right += b.row) {
        V factors[kColumns];
        for (int c = 0; c < kColumns; ++c) {
            factors[c] = hn::Load(d, right + static_cast<std::size_t>(c) * b.column);
        }
        for (int r = 0; r < kRows; ++r) {
            const float* const at = left + static_cast<std::size_t>(r) * a.row;
            const V factor = kShared ? hn::Set(d, *at) : hn::Load(d, at);
            for (int c = 0; c < kColumns; ++c) {
                sum[r][c] = hn::MulAdd(factor, factors[c], sum[r][c]);
            }
        }
    }
    for (int r = 0; r < kRows; ++r) {
        for (int c = 0; c < kColumns; ++c) {
            hn::Store(sum[r][c], d,
                      out.data + static_cast<std::size_t>(r) * out.row +
                          static_cast<std::size_t>(c) * kLanes);
        }
    }
}

template <int kRows, bool kShared>
HWY_INLINE void multiply_rows(const Factor& a, Factor b, Product out, std::size_t columns,
                              std::size_t inner, bool add) {
    std::size_t c = 0;
    const auto next = [&](std::size_t width) {
        c += width;
        b.data += width * b.column;
        out.data += width * kLanes;
    };
    for (; c + 4 <= columns; next(4)) multiply_tile<kRows, 4, kShared>(a, b, out, inner, add);
    for (; c + 2 <= columns; next(2)) multiply_tile<kRows, 2, kShared>(a, b, out, inner, add);
    for (; c < columns; next(1)) multiply_tile<kRows, 1, kShared>(a, b, out, inner, add);
}

/// out = a b, or out += a b, for a [rows, inner] and b [inner, columns]. `kShared`: the elements of
/// a are single numbers, the same in all lanes.
template <bool kShared>
HWY_INLINE void multiply(Factor a, const Factor& b, Product out, std::size_t rows,
                         std::size_t columns, std::size_t inner, bool add) {
    std::size_t r = 0;
    const auto next = [&](std::size_t height) {
        r += height;
        a.data += height * a.row;
        out.data += height * out.row;
    };
    for (; r + 3 <= rows; next(3)) multiply_rows<3, kShared>(a, b, out, columns, inner, add);
    for (; r < rows; next(1)) multiply_rows<1, kShared>(a, b, out, columns, inner, add);
}

}  // namespace thresher::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard
