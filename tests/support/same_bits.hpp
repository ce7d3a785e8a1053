#pragma once

#include <cstring>
#include <span>

namespace thresher::test {

/// Equal bit by bit, so that NaN equals itself; also of empty spans.
inline bool same_bits(std::span<const float> a, std::span<const float> b) {
    return a.size() == b.size() &&
           (a.empty() || std::memcmp(a.data(), b.data(), a.size_bytes()) == 0);
}

}  // namespace thresher::test
