#pragma once

// How what is said of each box of an image becomes the score of the image.

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace thresher {

enum class Aggregate { max, mean, sum, top_n };

struct AggregateInfo {
    std::string_view name;
    Aggregate kind;
};

/// Every kind, by the name that options use.
const std::vector<AggregateInfo>& aggregates();

struct BoxAggregation {
    Aggregate kind = Aggregate::max;
    std::int64_t top = 3;                    ///< top_n: the mean of so many of the best boxes
    std::span<const float> class_weights{};  ///< [K - 1], finite, not negative; empty: 1 each
};

/// max_b a_b, 1/B sum_b a_b, sum_b a_b, or the mean of the `top` largest a_b (of all where there
/// are fewer); 0 where there are none. Sums in double, in the order of the boxes. May reorder
/// `values`.
double aggregate(std::span<double> values, const BoxAggregation& how);

}  // namespace thresher
