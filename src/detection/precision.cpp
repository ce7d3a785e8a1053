#include "src/detection/precision.hpp"

#include <algorithm>
#include <limits>
#include <vector>

namespace thresher {

namespace {

/// At each hit the largest precision there or later; `epsilon` is added to each denominator.
std::vector<double> envelope(std::span<const std::int64_t> counted, double epsilon) {
    std::vector<double> precision(counted.size());
    double largest = 0.0;
    for (std::size_t k = counted.size(); k-- > 0;) {
        largest = std::max(
            largest, static_cast<double>(k + 1) / (static_cast<double>(counted[k]) + epsilon));
        precision[k] = largest;
    }
    return precision;
}

double recall_at(std::size_t hit, std::int64_t objects) {
    return static_cast<double>(hit + 1) / static_cast<double>(objects);
}

/// Of `points` recalls that are evenly spaced from 0 to 1, what the envelope adds up to.
double sum_at_recalls(std::span<const double> precision, std::int64_t objects, int points) {
    const double step = 1.0 / (points - 1);
    double sum = 0.0;
    std::size_t hit = 0;
    for (int i = 0; i < points; ++i) {
        const double recall = i == points - 1 ? 1.0 : i * step;
        while (hit < precision.size() && recall_at(hit, objects) < recall) ++hit;
        if (hit == precision.size()) break;
        sum += precision[hit];
    }
    return sum;
}

}  // namespace

double coco_average_precision(std::span<const std::int64_t> counted, std::int64_t objects) {
    const auto precision = envelope(counted, std::numeric_limits<double>::epsilon());
    return sum_at_recalls(precision, objects, kCocoRecalls) / kCocoRecalls;
}

double voc07_average_precision(std::span<const std::int64_t> counted, std::int64_t objects) {
    constexpr int kPoints = 11;
    return sum_at_recalls(envelope(counted, 0.0), objects, kPoints) / kPoints;
}

double voc10_average_precision(std::span<const std::int64_t> counted, std::int64_t objects) {
    const auto precision = envelope(counted, 0.0);
    double area = 0.0, reached = 0.0;
    for (std::size_t hit = 0; hit < precision.size(); ++hit) {
        const double recall = recall_at(hit, objects);
        area += (recall - reached) * precision[hit];
        reached = recall;
    }
    return area;
}

}  // namespace thresher
