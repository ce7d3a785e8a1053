#pragma once

#include <cmath>
#include <cstdint>

namespace thresher {

/// Sums of doubles that have the same bits in any order, and so for any number of ranks and
/// threads: every term is first rounded to a multiple of one power of two, so coarse that no
/// partial sum needs more than 53 bits and so fine that the rounding is 2^-51 of (terms x largest).
class ExactGrid {
  public:
    /// For sums of up to `terms` >= 1 values of magnitude <= `largest`. Where `largest` is 0, every
    /// value must be.
    ExactGrid(double largest, std::int64_t terms) {
        int exponent = 0;
        std::frexp(largest * static_cast<double>(terms), &exponent);  // < 2^exponent
        magic_ = largest > 0.0 ? std::ldexp(1.5, exponent + 1) : 0.0;
    }

    /// `value` on the grid.
    double operator()(double value) const { return (value + magic_) - magic_; }

    /// 1.5 x 2^52 steps of the grid: adding and subtracting it rounds.
    double magic() const { return magic_; }

  private:
    double magic_;
};

}  // namespace thresher
