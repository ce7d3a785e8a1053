#include "src/policy/network/lstm.hpp"

// Highway compiles this file once for each instruction set and picks the best at run time.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/policy/network/lstm.cpp"
#include "src/acquisition/targets.hpp"

#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <hwy/contrib/math/math-inl.h>

#include <algorithm>
#include <cstddef>

HWY_BEFORE_NAMESPACE();
namespace thresher::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using Units = hn::CappedTag<float, 16>;
using Vector = hn::Vec<Units>;
constexpr Units kUnits;

/// Rows r of c += sum over i of a(r, i) b[i], for kRows rows and one or two vectors of columns.
template <std::size_t kRows, std::size_t kVectors>
HWY_INLINE void product_block(const float* HWY_RESTRICT a, std::size_t row_stride,
                              std::size_t inner_stride, const float* HWY_RESTRICT b,
                              float* HWY_RESTRICT c, std::size_t inner, std::size_t width) {
    const std::size_t lanes = hn::Lanes(kUnits);
    Vector sums[kRows][kVectors];
    for (std::size_t r = 0; r < kRows; ++r) {
        for (std::size_t v = 0; v < kVectors; ++v) {
            sums[r][v] = hn::LoadU(kUnits, c + r * width + v * lanes);
        }
    }
    for (std::size_t i = 0; i < inner; ++i) {
        Vector columns[kVectors];
        for (std::size_t v = 0; v < kVectors; ++v) {
            columns[v] = hn::LoadU(kUnits, b + i * width + v * lanes);
        }
        for (std::size_t r = 0; r < kRows; ++r) {
            const auto factor = hn::Set(kUnits, a[r * row_stride + i * inner_stride]);
            for (std::size_t v = 0; v < kVectors; ++v) {
                sums[r][v] = hn::MulAdd(factor, columns[v], sums[r][v]);
            }
        }
    }
    for (std::size_t r = 0; r < kRows; ++r) {
        for (std::size_t v = 0; v < kVectors; ++v) {
            hn::StoreU(sums[r][v], kUnits, c + r * width + v * lanes);
        }
    }
}

template <std::size_t kRows>
HWY_INLINE void product_rows(const float* HWY_RESTRICT a, std::size_t row_stride,
                             std::size_t inner_stride, const float* HWY_RESTRICT b,
                             float* HWY_RESTRICT c, std::size_t inner, std::size_t width) {
    const std::size_t lanes = hn::Lanes(kUnits);
    std::size_t column = 0;
    for (; column + 2 * lanes <= width; column += 2 * lanes) {
        product_block<kRows, 2>(a, row_stride, inner_stride, b + column, c + column, inner, width);
    }
    for (; column < width; column += lanes) {
        product_block<kRows, 1>(a, row_stride, inner_stride, b + column, c + column, inner, width);
    }
}

void strided_product(const float* HWY_RESTRICT a, std::size_t row_stride, std::size_t inner_stride,
                     const float* HWY_RESTRICT b, float* HWY_RESTRICT c, std::size_t rows,
                     std::size_t inner, std::size_t width) {
    // As many sums as there are registers for.
    constexpr std::size_t kBlock = hn::MaxLanes(Units()) == 16 ? 8 : 4;
    std::size_t row = 0;
    for (; row + kBlock <= rows; row += kBlock) {
        product_rows<kBlock>(a + row * row_stride, row_stride, inner_stride, b, c + row * width,
                             inner, width);
    }
    for (; row < rows; ++row) {
        product_rows<1>(a + row * row_stride, row_stride, inner_stride, b, c + row * width, inner,
                        width);
    }
}

/// Sixteen partial sums, then their tree: the same order for every width of vectors.
HWY_INLINE float dot(const float* HWY_RESTRICT a, const float* HWY_RESTRICT b, std::size_t size) {
    constexpr std::size_t kParts = 16;
    HWY_ALIGN float parts[kParts] = {};
    const std::size_t lanes = hn::Lanes(kUnits);
    for (std::size_t part = 0; part < kParts; part += lanes) {
        auto sum = hn::Zero(kUnits);
        for (std::size_t i = part; i < size; i += kParts) {
            sum = hn::MulAdd(hn::LoadU(kUnits, a + i), hn::LoadU(kUnits, b + i), sum);
        }
        hn::Store(sum, kUnits, parts + part);
    }
    for (std::size_t half = kParts / 2; half > 0; half /= 2) {
        for (std::size_t i = 0; i < half; ++i) parts[i] += parts[i + half];
    }
    return parts[0];
}

void dots(const float* HWY_RESTRICT a, const float* HWY_RESTRICT b, float* HWY_RESTRICT sums,
          std::size_t rows, std::size_t outputs, std::size_t width) {
    for (std::size_t row = 0; row < rows; ++row) {
        for (std::size_t output = 0; output < outputs; ++output) {
            sums[row * outputs + output] = dot(a + row * width, b + output * width, width);
        }
    }
}

/// The bounds keep the exponential finite.
HWY_INLINE Vector sigmoid(Vector x) {
    const auto limit = hn::Set(kUnits, 80.0F);
    const auto bounded = hn::Max(hn::Neg(limit), hn::Min(x, limit));
    const auto one = hn::Set(kUnits, 1.0F);
    return hn::Div(one, hn::Add(one, hn::Exp(kUnits, hn::Neg(bounded))));
}

/// 2 sigmoid(2 x) - 1
HWY_INLINE Vector tanh(Vector x) {
    return hn::MulSub(hn::Set(kUnits, 2.0F), sigmoid(hn::Add(x, x)), hn::Set(kUnits, 1.0F));
}

void cells_forward(std::size_t hidden, std::size_t rows, float* HWY_RESTRICT gates,
                   const float* before, std::size_t before_stride, float* cells,
                   float* HWY_RESTRICT outputs) {
    const std::size_t lanes = hn::Lanes(kUnits);
    for (std::size_t row = 0; row < rows; ++row) {
        float* HWY_RESTRICT gate = gates + row * 4 * hidden;
        for (std::size_t u = 0; u < hidden; u += lanes) {
            const auto i = sigmoid(hn::LoadU(kUnits, gate + u));
            const auto f = sigmoid(hn::LoadU(kUnits, gate + hidden + u));
            const auto g = tanh(hn::LoadU(kUnits, gate + 2 * hidden + u));
            const auto o = sigmoid(hn::LoadU(kUnits, gate + 3 * hidden + u));
            const auto old = hn::LoadU(kUnits, before + row * before_stride + u);
            const auto cell = hn::MulAdd(f, old, hn::Mul(i, g));
            hn::StoreU(i, kUnits, gate + u);
            hn::StoreU(f, kUnits, gate + hidden + u);
            hn::StoreU(g, kUnits, gate + 2 * hidden + u);
            hn::StoreU(o, kUnits, gate + 3 * hidden + u);
            hn::StoreU(cell, kUnits, cells + row * hidden + u);
            hn::StoreU(hn::Mul(o, tanh(cell)), kUnits, outputs + row * hidden + u);
        }
    }
}

/// s (1 - s)
HWY_INLINE Vector sigmoid_slope(Vector s) { return hn::NegMulAdd(s, s, s); }
/// 1 - t^2
HWY_INLINE Vector tanh_slope(Vector t) { return hn::NegMulAdd(t, t, hn::Set(kUnits, 1.0F)); }

void cells_backward(std::size_t hidden, std::size_t rows, float* HWY_RESTRICT gates,
                    const float* HWY_RESTRICT before, std::size_t before_stride,
                    const float* HWY_RESTRICT cells, const float* HWY_RESTRICT d_outputs,
                    float* HWY_RESTRICT d_cells) {
    const std::size_t lanes = hn::Lanes(kUnits);
    for (std::size_t row = 0; row < rows; ++row) {
        float* HWY_RESTRICT gate = gates + row * 4 * hidden;
        for (std::size_t u = 0; u < hidden; u += lanes) {
            const std::size_t at = row * hidden + u;
            const auto i = hn::LoadU(kUnits, gate + u);
            const auto f = hn::LoadU(kUnits, gate + hidden + u);
            const auto g = hn::LoadU(kUnits, gate + 2 * hidden + u);
            const auto o = hn::LoadU(kUnits, gate + 3 * hidden + u);
            const auto t = tanh(hn::LoadU(kUnits, cells + at));
            const auto d_output = hn::LoadU(kUnits, d_outputs + at);
            const auto d_cell =
                hn::MulAdd(hn::Mul(d_output, o), tanh_slope(t), hn::LoadU(kUnits, d_cells + at));
            const auto old = hn::LoadU(kUnits, before + row * before_stride + u);
            hn::StoreU(hn::Mul(hn::Mul(d_cell, g), sigmoid_slope(i)), kUnits, gate + u);
            hn::StoreU(hn::Mul(hn::Mul(d_cell, old), sigmoid_slope(f)), kUnits, gate + hidden + u);
            hn::StoreU(hn::Mul(hn::Mul(d_cell, i), tanh_slope(g)), kUnits, gate + 2 * hidden + u);
            hn::StoreU(hn::Mul(hn::Mul(d_output, t), sigmoid_slope(o)), kUnits,
                       gate + 3 * hidden + u);
            hn::StoreU(hn::Mul(d_cell, f), kUnits, d_cells + at);
        }
    }
}

}  // namespace thresher::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace thresher {

namespace {

HWY_EXPORT(strided_product);
HWY_EXPORT(dots);
HWY_EXPORT(cells_forward);
HWY_EXPORT(cells_backward);

std::size_t size(std::int64_t count) { return static_cast<std::size_t>(count); }

}  // namespace

void add_product(std::span<const float> a, std::span<const float> b, std::span<float> c,
                 std::int64_t rows, std::int64_t inner, std::int64_t width) {
    HWY_DYNAMIC_DISPATCH(strided_product)
    (a.data(), size(inner), 1, b.data(), c.data(), size(rows), size(inner), size(width));
}

void add_transposed_product(std::span<const float> a, std::span<const float> b, std::span<float> c,
                            std::int64_t rows, std::int64_t inner, std::int64_t width) {
    HWY_DYNAMIC_DISPATCH(strided_product)
    (a.data(), 1, size(inner), b.data(), c.data(), size(inner), size(rows), size(width));
}

void dot_rows(std::span<const float> a, std::span<const float> b, std::span<float> sums,
              std::int64_t outputs, std::int64_t width) {
    HWY_DYNAMIC_DISPATCH(dots)
    (a.data(), b.data(), sums.data(), a.size() / size(width), size(outputs), size(width));
}

void lstm_cells(std::int64_t hidden, std::span<float> gates, std::span<const float> before,
                std::span<float> cells, std::span<float> outputs) {
    const std::size_t h = size(hidden);
    HWY_DYNAMIC_DISPATCH(cells_forward)
    (h, gates.size() / (4 * h), gates.data(), before.data(), before.size() == h ? 0 : h,
     cells.data(), outputs.data());
}

void lstm_cells_backward(std::int64_t hidden, std::span<float> gates, std::span<const float> before,
                         std::span<const float> cells, std::span<const float> d_outputs,
                         std::span<float> d_cells) {
    const std::size_t h = size(hidden);
    HWY_DYNAMIC_DISPATCH(cells_backward)
    (h, gates.size() / (4 * h), gates.data(), before.data(), before.size() == h ? 0 : h,
     cells.data(), d_outputs.data(), d_cells.data());
}

}  // namespace thresher
#endif
