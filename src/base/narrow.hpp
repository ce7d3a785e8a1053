#pragma once

// Checked conversion between integer types, for the borders to MPI, HDF5 and LibTorch.

#include <utility>

#include "src/base/check.hpp"

namespace thresher {

/// `value` as a `To`; throws Error where it does not fit.
template <class To, class From>
To narrow(From value) {
    THRESHER_CHECK(std::in_range<To>(value),
                   "the number {} does not fit the integer type it is passed as", value);
    return static_cast<To>(value);
}

}  // namespace thresher
