#pragma once

// Embeddings of images and texts, and their pairwise scores as the whole matrix.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

#include "src/random/philox.hpp"
#include "src/training/prioritised/joint_sub_batch.hpp"

namespace thresher::test {

inline std::size_t at(std::int64_t index) { return static_cast<std::size_t>(index); }

inline double softplus(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); }

/// Embeddings of both towers under one model.
struct Towers {
    std::vector<float> image, text;
    std::int64_t size = 0;
    double scale = 10.0, bias = -10.0;

    /// Those of rows [begin, begin + count).
    PairEmbeddings part(std::int64_t begin, std::int64_t count) const {
        return {std::span(image).subspan(at(begin * size), at(count * size)),
                std::span(text).subspan(at(begin * size), at(count * size)), size, scale, bias};
    }
    PairEmbeddings all() const { return part(0, size == 0 ? 0 : std::ssize(image) / size); }

    /// Loss of image i with text j.
    double loss(std::int64_t i, std::int64_t j) const {
        double product = 0.0;
        for (std::int64_t k = 0; k < size; ++k) {
            product += double{image[at(i * size + k)]} * double{text[at(j * size + k)]};
        }
        return softplus((i == j ? -1.0 : 1.0) * (scale * product + bias));
    }
};

/// Random directions; texts lean towards their images.
inline Towers random_towers(std::int64_t rows, std::int64_t size, std::uint64_t seed) {
    Towers towers;
    towers.size = size;
    const KeyedRandom random(seed, Stream::synthetic, 0);
    const auto normalised = [&](std::vector<double> row) {
        const double norm = std::sqrt(std::inner_product(row.begin(), row.end(), row.begin(), 0.0));
        for (double& value : row) value /= norm;
        return row;
    };
    for (std::int64_t i = 0; i < rows; ++i) {
        std::vector<double> image, text;
        for (std::int64_t k = 0; k < size; ++k) {
            image.push_back(random.normal(i * size + k, 0));
            text.push_back(image.back() + 1.5 * random.normal(i * size + k, 1));
        }
        for (const double value : normalised(image)) {
            towers.image.push_back(static_cast<float>(value));
        }
        for (const double value : normalised(text)) {
            towers.text.push_back(static_cast<float>(value));
        }
    }
    return towers;
}

/// The scores of both models as one matrix.
inline std::vector<double> score_matrix(const Towers& learner, const Towers& reference,
                                        std::int64_t rows) {
    std::vector<double> scores;
    for (std::int64_t i = 0; i < rows; ++i) {
        for (std::int64_t j = 0; j < rows; ++j) {
            scores.push_back((learner.size > 0 ? learner.loss(i, j) : 0.0) -
                             (reference.size > 0 ? reference.loss(i, j) : 0.0));
        }
    }
    return scores;
}

/// A matrix that all of a rank knows, for one rank.
inline AddPairSums sums_of(const std::vector<double>& scores, std::int64_t rows) {
    return [&scores, rows](std::span<const std::int64_t> places, std::span<double> sums) {
        for (const std::int64_t k : places) {
            for (std::int64_t i = 0; i < rows; ++i) {
                sums[at(i)] += scores[at(k * rows + i)] + scores[at(i * rows + k)];
            }
        }
    };
}

inline std::vector<double> diagonal_of(const std::vector<double>& scores, std::int64_t rows) {
    std::vector<double> diagonal;
    for (std::int64_t i = 0; i < rows; ++i) diagonal.push_back(scores[at(i * rows + i)]);
    return diagonal;
}

}  // namespace thresher::test
