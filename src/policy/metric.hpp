#pragma once

// What a batch is worth: the one interface through which policies, searches and tables ask. Its
// bodies retrain a learner, or estimate from a lookup table what retraining would give.

#include <cstdint>
#include <span>
#include <string_view>

namespace thresher {

class Metric {
  public:
    virtual ~Metric() = default;
    Metric(const Metric&) = delete;
    Metric& operator=(const Metric&) = delete;

    /// "accuracy", "negative-loss"; higher is better.
    virtual std::string_view name() const = 0;

    /// Fills `values` [Q] for the subsets [Q, size]: positions of candidates from 0, each at most
    /// once in a subset, in any order. Local.
    virtual void evaluate(std::span<const std::int32_t> subsets, std::int64_t size,
                          std::span<double> values) = 0;

  protected:
    Metric() = default;
};

}  // namespace thresher
