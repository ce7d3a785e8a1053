// The network of the small learner, forward and backward, for a group of learners side by side.
// Included by sources that Highway compiles once an instruction set.

#if defined(THRESHER_ENVIRONMENTS_NETWORK_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef THRESHER_ENVIRONMENTS_NETWORK_INL_HPP
#undef THRESHER_ENVIRONMENTS_NETWORK_INL_HPP
#else
#define THRESHER_ENVIRONMENTS_NETWORK_INL_HPP
#endif

#include <hwy/aligned_allocator.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cstddef>

#include "src/acquisition/lanes-inl.hpp"
#include "src/environments/points/learner.hpp"
#include "src/environments/points/products-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace thresher::HWY_NAMESPACE {

using Buffer = hwy::AlignedFreeUniquePtr<float[]>;

Buffer make_buffer(std::size_t vectors) {
    const std::size_t count = std::max<std::size_t>(1, vectors) * kLanes;
    Buffer buffer = hwy::AllocateAligned<float>(count);
    std::fill(buffer.get(), buffer.get() + count, 0.0F);
    return buffer;
}

/// Probabilities of one row of `classes` vectors, from logits, in place; returns the sum of
/// exponentials that they were divided by and leaves the largest logit in `largest`.
HWY_INLINE V softmax_row(float* HWY_RESTRICT row, std::size_t classes, V& largest) {
    const D d;
    largest = hn::Load(d, row);
    for (std::size_t c = 1; c < classes; ++c)
        largest = hn::Max(largest, hn::Load(d, row + c * kLanes));
    V sum = hn::Zero(d);
    for (std::size_t c = 0; c < classes; c += 4) {
        const auto at = [&](std::size_t i) { return row + std::min(c + i, classes - 1) * kLanes; };
        const auto shifted = [&](std::size_t i) { return hn::Sub(hn::Load(d, at(i)), largest); };
        const Floats e =
            exp(clamp_below(Floats{shifted(0), shifted(1), shifted(2), shifted(3)}, kLowestFloat));
        const V values[4] = {e.v0, e.v1, e.v2, e.v3};
        for (std::size_t i = 0; i < 4 && c + i < classes; ++i) {
            hn::Store(values[i], d, at(i));
            sum = hn::Add(sum, values[i]);
        }
    }
    const V inverse = hn::Div(hn::Set(d, 1.0F), sum);
    for (std::size_t c = 0; c < classes; ++c) {
        hn::Store(hn::Mul(hn::Load(d, row + c * kLanes), inverse), d, row + c * kLanes);
    }
    return sum;
}

/// The network of a group: one or two layers, weights [in + 1, out] in vectors of a lane a subset.
class Group {
  public:
    explicit Group(const LearnerTask& task)
        : d1_(static_cast<std::size_t>(task.dimensions) + 1),
          hidden_(static_cast<std::size_t>(task.options.hidden)),
          classes_(static_cast<std::size_t>(task.classes)),
          count_(hidden_ == 0 ? d1_ * classes_ : d1_ * hidden_ + (hidden_ + 1) * classes_) {}

    std::size_t count() const { return count_; }
    std::size_t classes() const { return classes_; }
    std::size_t hidden_values() const { return hidden_ == 0 ? 0 : hidden_ + 1; }
    std::size_t inputs() const { return d1_; }

    /// Logits [rows, classes] and, with a hidden layer, its activations [rows, hidden + 1] of
    /// inputs that are the same in all lanes, or of each lane's own.
    template <bool kShared>
    void forward(const float* HWY_RESTRICT weights, const float* HWY_RESTRICT x, std::size_t rows,
                 float* HWY_RESTRICT hidden, float* HWY_RESTRICT logits) const {
        const std::size_t step = kShared ? 1 : kLanes;
        if (hidden_ == 0) {
            multiply<kShared>({x, d1_ * step, step}, {weights, classes_ * kLanes, kLanes},
                              {logits, classes_ * kLanes}, rows, classes_, d1_, false);
            return;
        }
        const std::size_t width = hidden_ + 1;
        multiply<kShared>({x, d1_ * step, step}, {weights, hidden_ * kLanes, kLanes},
                          {hidden, width * kLanes}, rows, hidden_, d1_, false);
        const D d;
        for (std::size_t i = 0; i < rows; ++i) {
            float* HWY_RESTRICT row = hidden + i * width * kLanes;
            for (std::size_t h = 0; h < hidden_; ++h) {
                // Not Max(), which may make 0 of what is not a number.
                const V z = hn::Load(d, row + h * kLanes);
                hn::Store(hn::IfThenZeroElse(hn::Lt(z, hn::Zero(d)), z), d, row + h * kLanes);
            }
            hn::Store(hn::Set(d, 1.0F), d, row + hidden_ * kLanes);
        }
        multiply<false>({hidden, width * kLanes, kLanes},
                        {weights + d1_ * hidden_ * kLanes, classes_ * kLanes, kLanes},
                        {logits, classes_ * kLanes}, rows, classes_, width, false);
    }

    /// Adds to `gradient` what the derivatives by the logits [rows, classes] make of it.
    template <bool kShared>
    void backward(const float* HWY_RESTRICT weights, const float* HWY_RESTRICT x, std::size_t rows,
                  const float* HWY_RESTRICT hidden, const float* HWY_RESTRICT residuals,
                  float* HWY_RESTRICT scratch, float* HWY_RESTRICT gradient) const {
        const std::size_t step = kShared ? 1 : kLanes;
        if (hidden_ == 0) {
            multiply<kShared>({x, step, d1_ * step}, {residuals, classes_ * kLanes, kLanes},
                              {gradient, classes_ * kLanes}, d1_, classes_, rows, true);
            return;
        }
        const std::size_t width = hidden_ + 1;
        const std::size_t second = d1_ * hidden_ * kLanes;
        multiply<false>({hidden, kLanes, width * kLanes}, {residuals, classes_ * kLanes, kLanes},
                        {gradient + second, classes_ * kLanes}, width, classes_, rows, true);
        multiply<false>({residuals, classes_ * kLanes, kLanes},
                        {weights + second, kLanes, classes_ * kLanes}, {scratch, hidden_ * kLanes},
                        rows, hidden_, classes_, false);
        const D d;
        for (std::size_t i = 0; i < rows; ++i) {
            for (std::size_t h = 0; h < hidden_; ++h) {
                float* HWY_RESTRICT at = scratch + (i * hidden_ + h) * kLanes;
                const auto active =
                    hn::Gt(hn::Load(d, hidden + (i * width + h) * kLanes), hn::Zero(d));
                hn::Store(hn::IfThenElseZero(active, hn::Load(d, at)), d, at);
            }
        }
        multiply<kShared>({x, step, d1_ * step}, {scratch, hidden_ * kLanes, kLanes},
                          {gradient, hidden_ * kLanes}, d1_, hidden_, rows, true);
    }

    /// Adds decay x weight to the gradient, except for the biases.
    void decay(const float* HWY_RESTRICT weights, float rate, float* HWY_RESTRICT gradient) const {
        const auto layer = [&](std::size_t first, std::size_t vectors) {
            const D d;
            const V factor = hn::Set(d, rate);
            for (std::size_t i = first; i < first + vectors; ++i) {
                float* HWY_RESTRICT at = gradient + i * kLanes;
                hn::Store(hn::MulAdd(factor, hn::Load(d, weights + i * kLanes), hn::Load(d, at)), d,
                          at);
            }
        };
        if (hidden_ == 0) return layer(0, (d1_ - 1) * classes_);
        layer(0, (d1_ - 1) * hidden_);
        layer(d1_ * hidden_, hidden_ * classes_);
    }

  private:
    std::size_t d1_, hidden_, classes_, count_;
};

}  // namespace thresher::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard
