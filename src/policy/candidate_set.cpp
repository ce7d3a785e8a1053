#include "src/policy/candidate_set.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "src/acquisition/nearest.hpp"

namespace thresher {

namespace {

/// The mean of |x - y|^2 over all pairs is twice the sum of the variances.
double root_mean_square_distance(const CandidateSet& candidates) {
    const auto n = static_cast<double>(candidates.rows);
    double square = 0.0;
    for (std::int64_t j = 0; j < candidates.dimensions; ++j) {
        double sum = 0.0, squares = 0.0;
        const auto at = [&](std::int64_t i) {
            return double{
                candidates.places[static_cast<std::size_t>(i * candidates.dimensions + j)]};
        };
        for (std::int64_t i = 0; i < candidates.rows; ++i) sum += at(i);
        for (std::int64_t i = 0; i < candidates.rows; ++i) {
            const double off = at(i) - sum / n;
            squares += off * off;
        }
        square += 2.0 * squares / n;
    }
    return std::sqrt(square);
}

void compute_distances(const CandidateSet& candidates, std::int32_t from, std::span<float> to) {
    const auto d = static_cast<std::size_t>(candidates.dimensions);
    const auto place = std::span(candidates.places).subspan(static_cast<std::size_t>(from) * d, d);
    const std::vector<double> row(place.begin(), place.end());
    std::vector<double> squares(to.size());
    squared_distances(row, candidates.places, squares);
    for (std::size_t i = 0; i < to.size(); ++i) {
        to[i] = static_cast<float>(std::sqrt(squares[i]) / candidates.scale);
    }
}

}  // namespace

void measure_distances(CandidateSet& candidates, std::int64_t all_pairs) {
    const double scale = root_mean_square_distance(candidates);
    candidates.scale = scale > 0.0 ? scale : 1.0;
    candidates.distances.clear();
    if (candidates.rows > all_pairs) return;
    const auto n = static_cast<std::size_t>(candidates.rows);
    candidates.distances.resize(n * n);
    for (std::size_t i = 0; i < n; ++i) {
        compute_distances(candidates, static_cast<std::int32_t>(i),
                          std::span(candidates.distances).subspan(i * n, n));
    }
}

void distances_from(const CandidateSet& candidates, std::int32_t from, std::span<float> to) {
    if (candidates.distances.empty()) return compute_distances(candidates, from, to);
    const auto row =
        candidates.distances.begin() + static_cast<std::ptrdiff_t>(from) * candidates.rows;
    std::copy_n(row, candidates.rows, to.begin());
}

Nearness::Nearness(const CandidateSet& candidates)
    : candidates_(candidates),
      distances_(static_cast<std::size_t>(candidates.rows), std::numeric_limits<float>::infinity()),
      of_pick_(distances_.size()) {}

void Nearness::pick(std::int32_t candidate) {
    distances_from(candidates_, candidate, of_pick_);
    for (std::size_t i = 0; i < distances_.size(); ++i) {
        distances_[i] = std::min(distances_[i], of_pick_[i]);
    }
}

}  // namespace thresher
