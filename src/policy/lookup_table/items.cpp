#include "src/policy/lookup_table/items.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "src/base/check.hpp"
#include "src/policy/entropy.hpp"
#include "src/random/permutation.hpp"

namespace thresher {

namespace {

void check_finite(std::span<const float> values, std::int64_t each, const char* what,
                  const char* whose) {
    for (std::int64_t i = 0; i < std::ssize(values); ++i) {
        const float value = values[static_cast<std::size_t>(i)];
        THRESHER_CHECK(std::isfinite(value), "{} {} of {} {} is {}", what, i % each, whose,
                       i / each, value);
    }
}

double squared_distance(const float* a, const float* b, std::int64_t d) {
    double sum = 0.0;
    for (std::int64_t j = 0; j < d; ++j) {
        const double difference = double{a[j]} - double{b[j]};
        sum += difference * difference;
    }
    return sum;
}

double median_distance(const Items& items) {
    constexpr std::int64_t kPairs = 20000;
    const KeyedRandom random(0, Stream::table_records, 0);
    std::vector<double> distances;
    const std::int64_t all = items.rows * (items.rows - 1) / 2;
    const auto add = [&](std::int64_t i, std::int64_t j) {
        distances.push_back(squared_distance(items.features.data() + i * items.dimensions,
                                             items.features.data() + j * items.dimensions,
                                             items.dimensions));
    };
    if (all <= kPairs) {
        for (std::int64_t i = 0; i < items.rows; ++i) {
            for (std::int64_t j = 0; j < i; ++j) add(i, j);
        }
    } else {
        for (std::int64_t pair = 0; pair < kPairs; ++pair) {
            const std::int64_t i = random.integer(pair, items.rows);
            const std::int64_t j = random.integer(kPairs + pair, items.rows - 1);
            add(i, j + (j >= i ? 1 : 0));
        }
    }
    if (distances.empty()) return 1.0;
    const auto middle = distances.begin() + std::ssize(distances) / 2;
    std::nth_element(distances.begin(), middle, distances.end());
    return *middle > 0.0 ? std::sqrt(*middle) : 1.0;
}

}  // namespace

Items make_items(const CandidateFacts& facts) {
    const auto& [dimensions, classes, features, labelled_features, log_probs, label_counts] = facts;
    THRESHER_CHECK(dimensions >= 1 && classes >= 1 && std::ssize(features) % dimensions == 0 &&
                       std::ssize(labelled_features) % dimensions == 0 &&
                       std::ssize(log_probs) * dimensions == std::ssize(features) * classes,
                   "{} features of candidates and {} of labelled points in {} dimensions, and {} "
                   "log-probabilities of {} classes, do not agree",
                   features.size(), labelled_features.size(), dimensions, log_probs.size(),
                   classes);
    Items items;
    items.rows = std::ssize(features) / dimensions;
    items.dimensions = dimensions;
    items.classes = classes;
    items.features = features;
    check_finite(features, dimensions, "feature", "candidate");
    check_finite(labelled_features, dimensions, "feature", "labelled point");
    for (const float value : log_probs) items.probabilities.push_back(std::exp(double{value}));
    for (std::int64_t i = 0; i < std::ssize(log_probs); ++i) {  // -inf is a probability of 0
        const auto at = static_cast<std::size_t>(i);
        THRESHER_CHECK(std::isfinite(items.probabilities[at]),
                       "log-probability {} of candidate {} is {}", i % classes, i / classes,
                       log_probs[at]);
    }
    for (std::int64_t i = 0; i < items.rows; ++i) {
        items.uncertainty.push_back(entropy_of(std::span(items.probabilities)
                                                   .subspan(static_cast<std::size_t>(i * classes),
                                                            static_cast<std::size_t>(classes))));
        double least = labelled_features.empty() ? 0.0 : std::numeric_limits<double>::infinity();
        for (std::int64_t j = 0; j < std::ssize(labelled_features); j += dimensions) {
            least = std::min(least, squared_distance(features.data() + i * dimensions,
                                                     labelled_features.data() + j, dimensions));
        }
        items.distance.push_back(std::sqrt(least));
    }
    items.length = median_distance(items);
    return items;
}

Landmarks::Landmarks(const Items& items) : items_(items) {
    if (items.rows <= kMost) {
        for (std::int32_t i = 0; i < items.rows; ++i) rows_.push_back(i);
    } else {
        const KeyedPermutation order(items.rows, 0, Stream::table_records, 1);
        for (std::int64_t i = 0; i < kMost; ++i)
            rows_.push_back(static_cast<std::int32_t>(order(i)));
    }
    similarities_ = similarities(items.length);
}

std::vector<float> Landmarks::similarities(double length) const {
    const std::int64_t d = items_.dimensions;
    std::vector<float> values;
    values.reserve(static_cast<std::size_t>(items_.rows * count()));
    for (std::int64_t i = 0; i < items_.rows; ++i) {
        for (const std::int32_t landmark : rows_) {
            const double square = squared_distance(items_.features.data() + i * d,
                                                   items_.features.data() + landmark * d, d);
            values.push_back(static_cast<float>(std::exp(-0.5 * square / (length * length))));
        }
    }
    return values;
}

SetStatistics Landmarks::statistics(std::span<const std::int32_t> subset) const {
    const std::size_t b = subset.size();
    const auto classes = static_cast<std::size_t>(items_.classes);
    SetStatistics found{};
    if (b == 0) return found;
    const double size = static_cast<double>(b);
    // Cholesky of I + similarities, row by row: the log-determinant is twice the sum of the
    // diagonal's logarithms.
    std::vector<double> factor(b * b, 0.0);
    double pairs = 0.0;
    for (std::size_t i = 0; i < b; ++i) {
        for (std::size_t j = 0; j <= i; ++j) {
            double value = 2.0;
            if (j < i) {
                value = std::exp(
                    -0.5 *
                    squared_distance(items_.features.data() + subset[i] * items_.dimensions,
                                     items_.features.data() + subset[j] * items_.dimensions,
                                     items_.dimensions) /
                    (items_.length * items_.length));
                pairs += value;
            }
            for (std::size_t k = 0; k < j; ++k) value -= factor[i * b + k] * factor[j * b + k];
            factor[i * b + j] = i == j ? std::sqrt(value) : value / factor[j * b + j];
        }
        found[1] += 2.0 * std::log(factor[i * b + i]);
    }
    if (b > 1) found[0] = pairs / (0.5 * size * (size - 1.0));
    const auto landmarks = static_cast<std::size_t>(count());
    std::vector<float> nearest(landmarks, 0.0F);
    std::vector<double> mean(classes, 0.0);
    for (const std::int32_t item : subset) {
        const auto at = static_cast<std::size_t>(item);
        const float* const row = similarities_.data() + at * landmarks;
        for (std::size_t l = 0; l < landmarks; ++l) nearest[l] = std::max(nearest[l], row[l]);
        for (std::size_t c = 0; c < classes; ++c) {
            mean[c] += items_.probabilities[at * classes + c] / size;
        }
        found[4] += items_.distance[at] / size;
        found[5] += items_.uncertainty[at] / size;
    }
    float covered = 0.0F;
    for (const float value : nearest) covered += value;
    found[2] = double{covered} / static_cast<double>(landmarks);
    found[3] = entropy_of(mean);
    return found;
}

}  // namespace thresher
