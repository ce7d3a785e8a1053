#pragma once

// What is known of the candidates before any is labelled, and what a set of them is like: what the
// kernel estimator compares subsets by.

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace thresher {

/// What a table says of its candidates, so that estimates need no more than it.
struct CandidateFacts {
    std::int64_t dimensions = 0, classes = 0;  ///< d and C
    std::vector<float> features;               ///< [N, d]
    std::vector<float> labelled_features;      ///< [L, d]
    std::vector<float> log_probs;              ///< [N, C], by a learner of the labelled set
    /// [N, K]: how many labels of each of K classes labelling a candidate would give; empty where
    /// that is not known. No estimate may look at it: it is what others are measured by.
    std::vector<float> label_counts{};
};

struct Items {
    std::int64_t rows = 0, dimensions = 0, classes = 0;  ///< N, d and C
    std::vector<float> features;                         ///< [N, d]
    std::vector<double> probabilities;  ///< [N, C], by a learner of the labelled set
    std::vector<double> uncertainty;    ///< [N], their entropy
    std::vector<double> distance;       ///< [N], to the nearest labelled point
    double length = 1.0;                ///< median distance of two candidates
};

/// Throws Error where shapes do not agree or a number is not finite. Local.
Items make_items(const CandidateFacts& facts);

inline constexpr std::array<std::string_view, 6> kSetStatistics{
    "mean similarity of pairs",      "log-determinant of similarities",
    "coverage of the candidates",    "class entropy",
    "mean distance to the labelled", "mean uncertainty"};

using SetStatistics = std::array<double, kSetStatistics.size()>;

/// Similarities of candidates to landmarks among them: all of them where they are few.
class Landmarks {
  public:
    static constexpr std::int64_t kMost = 512;

    /// `items` must outlive it.
    explicit Landmarks(const Items& items);

    std::int64_t count() const { return std::ssize(rows_); }
    std::span<const std::int32_t> rows() const { return rows_; }
    /// exp(-|f_i - f_l|^2 / (2 length^2)), [N, landmarks].
    std::vector<float> similarities(double length) const;

    /// Similarity there is exp(-|f_i - f_j|^2 / (2 items.length^2)); coverage is the mean over
    /// landmarks of the largest similarity to the set.
    SetStatistics statistics(std::span<const std::int32_t> subset) const;

  private:
    const Items& items_;
    std::vector<std::int32_t> rows_;
    std::vector<float> similarities_;  ///< [N, landmarks] at items.length
};

}  // namespace thresher
