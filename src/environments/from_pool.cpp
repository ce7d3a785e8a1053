#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/linalg_eigh.h>
#include <ATen/ops/mm.h>

#include <algorithm>
#include <cmath>
#include <span>

#include "src/base/check.hpp"
#include "src/environments/makers.hpp"
#include "src/random/permutation.hpp"

namespace thresher {

namespace {

/// Draws of Stream::environment by what they are for.
enum Round : std::uint32_t { kCopies = 32, kCandidateOrder };

Points rows_of(const Points& pool, std::int64_t dimensions, std::int64_t begin,
               std::int64_t count) {
    Points points;
    points.rows = count;
    const auto features = pool.features.begin() + begin * dimensions;
    points.features.assign(features, features + count * dimensions);
    const auto targets = pool.targets.begin() + begin;
    points.targets.assign(targets, targets + count);
    return points;
}

/// The variance of a feature, averaged over them.
double mean_variance(std::span<const float> features, std::int64_t dimensions) {
    const auto d = static_cast<std::size_t>(dimensions);
    const double n = static_cast<double>(features.size() / d);
    double total = 0.0;
    for (std::size_t j = 0; j < d; ++j) {
        double sum = 0.0, squares = 0.0;
        for (std::size_t i = j; i < features.size(); i += d) {
            sum += double{features[i]};
            squares += double{features[i]} * double{features[i]};
        }
        total += squares / n - (sum / n) * (sum / n);
    }
    return total / static_cast<double>(d);
}

}  // namespace

Environment make_from_pool(const EnvironmentOptions& options, std::uint64_t, const Points& pool,
                           std::int64_t dimensions, std::int64_t classes) {
    Environment environment;
    environment.dimensions = dimensions;
    environment.classes = classes;
    std::int64_t begin = 0;
    const auto take = [&](Points& points, std::int64_t count) {
        points = rows_of(pool, dimensions, begin, count);
        begin += count;
    };
    take(environment.labelled, options.labelled);
    take(environment.candidates, options.candidates / options.repeat);
    take(environment.reward, options.reward);
    take(environment.test, options.test);
    if (options.components > 0) project(environment, options.components);
    return environment;
}

void project(Environment& environment, std::int64_t count) {
    const std::int64_t d = environment.dimensions;
    THRESHER_CHECK_AS(UsageError, count <= d,
                      "{} principal components of {} features were asked for; ask for {} or fewer",
                      count, d, d);
    const auto matrix = [&](Points& points) {
        return at::from_blob(points.features.data(), {points.rows, d},
                             at::TensorOptions(at::kFloat))
            .to(at::kDouble);
    };
    at::Tensor sum, products;
    std::int64_t rows = 0;
    for (Points* points : {&environment.labelled, &environment.candidates, &environment.reward}) {
        const at::Tensor x = matrix(*points);
        sum = sum.defined() ? sum + x.sum(0) : x.sum(0);
        products = products.defined() ? products + at::mm(x.t(), x) : at::mm(x.t(), x);
        rows += points->rows;
    }
    const at::Tensor mean = sum / static_cast<double>(rows);
    const at::Tensor covariance =
        products / static_cast<double>(rows) - mean.unsqueeze(1) * mean.unsqueeze(0);
    const auto [values, vectors] = at::linalg_eigh(covariance);
    at::Tensor axes = vectors.slice(1, d - count, d).flip(1).contiguous();
    const double variance = values.slice(0, d - count, d).mean().item<double>();
    const at::Tensor largest = axes.gather(0, axes.abs().argmax(0, true));
    axes = axes * largest.sign() / std::sqrt(std::max(variance, 1e-300));
    for (Points* points :
         {&environment.labelled, &environment.candidates, &environment.reward, &environment.test}) {
        const at::Tensor projected =
            at::mm(matrix(*points) - mean, axes).to(at::kFloat).contiguous();
        const float* const data = projected.const_data_ptr<float>();
        points->features.assign(data, data + points->rows * count);
    }
    environment.dimensions = count;
}

std::vector<std::int64_t> candidate_origins(const EnvironmentOptions& options, std::uint64_t seed) {
    std::vector<std::int64_t> origins;
    const std::int64_t distinct = options.candidates / options.repeat;
    const KeyedPermutation order(options.candidates, seed, Stream::environment, kCandidateOrder);
    for (std::int64_t i = 0; i < options.candidates; ++i) {
        origins.push_back(options.repeat == 1 ? i : order(i) % distinct);
    }
    return origins;
}

void repeat_candidates(Environment& environment, const EnvironmentOptions& options,
                       std::uint64_t seed) {
    if (options.repeat == 1) return;
    const Points once = std::move(environment.candidates);
    const std::int64_t d = environment.dimensions, rows = once.rows * options.repeat;
    const double deviation = options.repeat_noise * std::sqrt(mean_variance(once.features, d));
    const KeyedRandom noise(seed, Stream::environment, kCopies);
    const KeyedPermutation order(rows, seed, Stream::environment, kCandidateOrder);
    Points& all = environment.candidates;
    all = {};
    all.rows = rows;
    for (std::int64_t i = 0; i < rows; ++i) {
        const std::int64_t place = order(i), from = place % once.rows;
        const bool copy = place >= once.rows;
        for (std::int64_t j = 0; j < d; ++j) {
            const double value = double{once.features[static_cast<std::size_t>(from * d + j)]};
            const double moved = copy ? value + deviation * noise.normal(place * d + j) : value;
            all.features.push_back(static_cast<float>(moved));
        }
        all.targets.push_back(once.targets[static_cast<std::size_t>(from)]);
    }
}

}  // namespace thresher
