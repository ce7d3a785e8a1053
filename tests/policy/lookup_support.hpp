#pragma once

// Candidates and records made on the fly, for tests of the lookup table.

#include <cmath>
#include <string>
#include <vector>

#include "src/policy/lookup_table/estimator.hpp"
#include "src/policy/lookup_table/lookup_table.hpp"
#include "src/random/permutation.hpp"

namespace thresher {

/// Points in the plane with three classes, each as likely, and one labelled point at the origin.
inline Items toy_items(std::int64_t n) {
    const KeyedRandom random(1, Stream::synthetic, 0);
    std::vector<float> features, log_probs;
    for (std::int64_t i = 0; i < n; ++i) {
        for (std::int64_t j = 0; j < 2; ++j) {
            features.push_back(static_cast<float>(random.normal(2 * i + j)));
        }
        for (int c = 0; c < 3; ++c) log_probs.push_back(static_cast<float>(-std::log(3.0)));
    }
    return make_items({2, 3, features, {0.0F, 0.0F}, log_probs});
}

/// Subset `round` of `size` different candidates.
inline std::vector<std::int32_t> toy_subset(std::int64_t n, std::int64_t size,
                                            std::uint32_t round) {
    const KeyedPermutation order(n, 5, Stream::synthetic, round);
    std::vector<std::int32_t> subset;
    for (std::int64_t i = 0; i < size; ++i) subset.push_back(static_cast<std::int32_t>(order(i)));
    return subset;
}

/// `records` subsets of `size` with the value that `worth` gives each.
template <class Worth>
LookupTable toy_table(std::int64_t n, std::int64_t records, std::int64_t size, const Worth& worth) {
    LookupTable table(n);
    for (std::int64_t i = 0; i < n; ++i) table.ids.push_back(i);
    for (std::int64_t i = 0; i < records; ++i) {
        const auto subset = toy_subset(n, size, static_cast<std::uint32_t>(i));
        table.subsets.add(subset);
        table.numbers.push_back(i);
        table.seeds.push_back(9);
        table.seconds.push_back(0.5);
        table.metrics["accuracy"].push_back(worth(subset));
    }
    table.candidates_checksum = "toy";
    table.proxy = "toy";
    return table;
}

}  // namespace thresher
