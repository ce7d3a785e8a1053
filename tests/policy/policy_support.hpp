#pragma once

// Candidates and policies for the tests of policies.

#include <cstdint>
#include <functional>
#include <vector>

#include "src/policy/heads/heads.hpp"
#include "src/random/philox.hpp"

namespace thresher::test {

inline std::size_t index(std::int64_t number) { return static_cast<std::size_t>(number); }

inline std::vector<float> normals(std::int64_t count, std::uint64_t seed) {
    const KeyedRandom random(seed, Stream::synthetic, 0);
    std::vector<float> values(index(count));
    for (std::int64_t i = 0; i < count; ++i)
        values[index(i)] = static_cast<float>(random.normal(i));
    return values;
}

/// Random candidates, whose places are their features.
inline CandidateSet some_candidates(std::int64_t rows, std::int64_t width, std::uint64_t seed = 1) {
    CandidateSet candidates;
    candidates.rows = rows;
    candidates.width = candidates.dimensions = width;
    candidates.features = normals(rows * width, seed);
    candidates.places = candidates.features;
    measure_distances(candidates);
    return candidates;
}

/// A policy whose output layers are not 0.
inline Policy some_policy(const std::string& head, std::int64_t features, std::int64_t outputs = 1,
                          std::int64_t hidden = 16) {
    Policy policy = make_policy(head, {features, hidden, outputs}, 10.0, 3);
    const auto parts = parts_of(policy.shape, std::span(policy.parameters));
    std::uint64_t seed = 10;
    for (const auto& part : {parts.output, parts.output_bias, parts.value, parts.value_bias}) {
        const std::vector<float> values = normals(std::ssize(part), seed++);
        for (std::size_t i = 0; i < part.size(); ++i) part[i] = 3.0F * values[i];
    }
    return policy;
}

inline void for_each_subset(std::int64_t n, std::int64_t size,
                            const std::function<void(const std::vector<std::int32_t>&)>& body) {
    for (std::uint32_t bits = 0; bits < (1U << n); ++bits) {
        std::vector<std::int32_t> subset;
        for (std::int32_t i = 0; i < n; ++i) {
            if ((bits >> i) & 1U) subset.push_back(i);
        }
        if (size < 0 || std::ssize(subset) == size) body(subset);
    }
}

}  // namespace thresher::test
