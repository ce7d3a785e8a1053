#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/linalg_eigh.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <array>
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
    const std::array known{&environment.labelled, &environment.candidates, &environment.reward};
    std::int64_t rows = 0;
    for (const Points* points : known) rows += points->rows;
    const std::int64_t most = rows < d ? rows - 1 : d;
    THRESHER_CHECK_AS(UsageError, count <= most,
                      "{} principal components of {} features in {} rows were asked for; ask for "
                      "{} or fewer",
                      count, d, rows, most);
    const auto matrix = [&](Points& points) {
        return at::from_blob(points.features.data(), {points.rows, d},
                             at::TensorOptions(at::kFloat))
            .to(at::kDouble);
    };
    const double n = static_cast<double>(rows);
    at::Tensor mean = at::zeros({d}, at::TensorOptions(at::kDouble));
    for (Points* points : known) mean += matrix(*points).sum(0);
    mean /= n;
    // Products of rows where they are fewer than features: the eigenvalues are the same.
    const bool wide = rows < d;
    at::Tensor x, products;
    if (wide) {
        x = at::empty({rows, d}, at::TensorOptions(at::kDouble));
        std::int64_t begin = 0;
        for (Points* points : known) {
            x.slice(0, begin, begin + points->rows).copy_(matrix(*points).sub_(mean));
            begin += points->rows;
        }
        products = at::mm(x, x.t()) / n;
    } else {
        products = at::zeros({d, d}, at::TensorOptions(at::kDouble));
        for (Points* points : known) {
            const at::Tensor own = matrix(*points);
            products += at::mm(own.t(), own);
        }
        products = products / n - mean.unsqueeze(1) * mean.unsqueeze(0);
    }
    const auto [values, vectors] = at::linalg_eigh(products);
    const std::int64_t last = values.size(0);
    at::Tensor axes = vectors.slice(1, last - count, last).flip(1).contiguous();
    if (wide) {
        axes = at::mm(x.t(), axes);
        const at::Tensor lengths = axes.square().sum(0).sqrt();
        // Axes along which nothing varies are nothing but rounding: they stay next to 0.
        axes.div_(lengths.clamp_min(std::max(1e-10 * lengths.max().item<double>(), 1e-300)));
    }
    const double variance = values.slice(0, last - count, last).mean().item<double>();
    const at::Tensor largest = axes.gather(0, axes.abs().argmax(0, true));
    axes = axes * largest.sign() / std::sqrt(std::max(variance, 1e-300));
    for (Points* points :
         {&environment.labelled, &environment.candidates, &environment.reward, &environment.test}) {
        const at::Tensor projected =
            at::mm(matrix(*points).sub_(mean), axes).to(at::kFloat).contiguous();
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
