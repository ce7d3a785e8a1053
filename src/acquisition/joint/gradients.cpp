#include "src/acquisition/joint/gradients.hpp"

#include <algorithm>
#include <cstdint>
#include <limits>

#include "src/acquisition/joint/distances.hpp"
#include "src/base/check.hpp"
#include "src/base/thread_team.hpp"

// Highway compiles this file once for each instruction set and picks the best at run time.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/acquisition/joint/gradients.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <hwy/contrib/math/math-inl.h>

#ifndef THRESHER_GRADIENT_PARTS
#define THRESHER_GRADIENT_PARTS
namespace thresher {

/// What a pick is to the rows.
struct GradientPick {
    std::span<const float> residual, embedding;
    float residual_norm;  ///< squared
};

/// A panel of rows.
struct GradientPanel {
    const float* residuals;   ///< [C, kPanel]
    const float* embeddings;  ///< [rows, d]
    const float* norms;       ///< [rows], of the embeddings
    std::size_t rows;         ///< kPanel, or fewer at the end
};

}  // namespace thresher
#endif

HWY_BEFORE_NAMESPACE();
namespace thresher::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::ScalableTag<float>;
using Doubles = hn::CappedTag<double, Gradients::kPanel>;
using Rows = hn::CappedTag<float, Gradients::kPanel>;

/// values[i] = e^(values[i]), n a multiple of kPanel.
void exponentials(double* HWY_RESTRICT values, std::size_t n) {
    const Doubles tag;
    for (std::size_t i = 0; i < n; i += hn::Lanes(tag)) {
        hn::StoreU(hn::Exp(tag, hn::LoadU(tag, values + i)), tag, values + i);
    }
}

/// |x - y|^2 and <x - y, x>.
HWY_INLINE void difference_sums(const float* HWY_RESTRICT x, const float* HWY_RESTRICT y,
                                std::size_t d, float& square, float& product) {
    const Floats tag;
    const std::size_t lanes = hn::Lanes(tag);
    auto squares = hn::Zero(tag);
    auto products = hn::Zero(tag);
    std::size_t j = 0;
    for (; j + lanes <= d; j += lanes) {
        const auto from = hn::LoadU(tag, x + j);
        const auto difference = hn::Sub(from, hn::LoadU(tag, y + j));
        squares = hn::MulAdd(difference, difference, squares);
        products = hn::MulAdd(difference, from, products);
    }
    square = hn::GetLane(hn::SumOfLanes(tag, squares));
    product = hn::GetLane(hn::SumOfLanes(tag, products));
    for (; j < d; ++j) {
        const float difference = x[j] - y[j];
        square += difference * difference;
        product += difference * x[j];
    }
}

/// distances [kPanel] = |g_i - g|^2 of the panel's rows.
void find_distances(const GradientPanel& panel, const GradientPick& pick,
                    float* HWY_RESTRICT distances) {
    constexpr std::size_t kPanel = Gradients::kPanel;
    const Rows tag;
    HWY_ALIGN float squares[kPanel] = {}, products[kPanel] = {}, norms[kPanel] = {};
    const std::size_t d = pick.embedding.size();
    for (std::size_t row = 0; row < panel.rows; ++row) {
        difference_sums(panel.embeddings + row * d, pick.embedding.data(), d, squares[row],
                        products[row]);
        norms[row] = panel.norms[row];
    }
    const auto residual_norm = hn::Set(tag, pick.residual_norm);
    for (std::size_t row = 0; row < kPanel; row += hn::Lanes(tag)) {
        auto square = hn::Zero(tag), product = square;  // of the residuals
        for (std::size_t c = 0; c < pick.residual.size(); ++c) {
            const auto to = hn::Set(tag, pick.residual[c]);
            const auto difference = hn::Sub(hn::LoadU(tag, panel.residuals + c * kPanel + row), to);
            square = hn::MulAdd(difference, difference, square);
            product = hn::MulAdd(difference, to, product);
        }
        const auto twice = hn::Add(product, product);
        auto sum = hn::Mul(square, hn::Load(tag, norms + row));
        sum = hn::MulAdd(residual_norm, hn::Load(tag, squares + row), sum);
        sum = hn::MulAdd(twice, hn::Load(tag, products + row), sum);
        hn::StoreU(hn::Max(sum, hn::Zero(tag)), tag, distances + row);
    }
}

}  // namespace thresher::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace thresher {

HWY_EXPORT(exponentials);
HWY_EXPORT(find_distances);

namespace {

constexpr std::int64_t kGrain = 1024;  // rows a thread takes at a time
static_assert(kGrain % Gradients::kPanel == 0);

float squared_norm_of(std::span<const float> values) {
    float norm = 0.0F;
    squared_norms(values, values.size(), std::span(&norm, 1));
    return norm;
}

}  // namespace

Gradients::Gradients(const JointShard& shard)
    : shard_(shard),
      classes_(static_cast<std::size_t>(shard.rows().classes)),
      residuals_((shard.size() + kPanel - 1) / kPanel * kPanel * classes_),
      residual_norms_(shard.size()),
      norms_(shard.size()),
      nearest_(shard.size(), std::numeric_limits<float>::infinity()) {
    const std::size_t d = shard.embedding_size();
    parallel_for(static_cast<std::int64_t>(shard.size()), kGrain,
                 [&](std::int64_t from, std::int64_t to) {
                     const auto begin = static_cast<std::size_t>(from);
                     const auto end = static_cast<std::size_t>(to);
                     squared_norms(shard.rows().embeddings.subspan(begin * d, (end - begin) * d), d,
                                   std::span(norms_).subspan(begin, end - begin));
                     for (std::size_t first = begin; first < end; first += kPanel) {
                         make_residuals(first, std::min(end, first + kPanel));
                     }
                 });
}

void Gradients::make_residuals(std::size_t begin, std::size_t end) {
    const auto samples = static_cast<std::size_t>(shard_.rows().samples);
    const std::size_t outputs = samples * classes_;
    const auto log_probs =
        shard_.rows().log_probs.subspan(begin * outputs, (end - begin) * outputs);
    std::vector<double> probabilities((log_probs.size() + kPanel - 1) / kPanel * kPanel);
    std::copy(log_probs.begin(), log_probs.end(), probabilities.begin());
    HWY_DYNAMIC_DISPATCH(exponentials)(probabilities.data(), probabilities.size());
    for (std::size_t row = begin; row < end; ++row) {
        if (!shard_.open(row)) continue;
        const auto own = std::span(probabilities).subspan((row - begin) * outputs, outputs);
        const auto mean = own.first(classes_);
        for (std::size_t i = classes_; i < outputs; ++i) mean[i % classes_] += own[i];
        const double share = 1.0 / static_cast<double>(samples);
        for (double& value : mean) value *= share;
        *std::max_element(mean.begin(), mean.end()) -= 1.0;
        double square = 0.0;
        float* const residual = residuals_.data() + place_of(row);
        for (std::size_t c = 0; c < classes_; ++c) {
            residual[c * kPanel] = static_cast<float>(mean[c]);
            square += mean[c] * mean[c];
        }
        residual_norms_[row] = static_cast<float>(square);
    }
}

void Gradients::copy_factors(std::size_t row, std::span<float> factors) const {
    const float* const residual = residuals_.data() + place_of(row);
    for (std::size_t c = 0; c < classes_; ++c) factors[c] = residual[c * kPanel];
    const auto embedding = shard_.embedding(row);
    std::copy(embedding.begin(), embedding.end(),
              factors.begin() + static_cast<std::ptrdiff_t>(classes_));
}

void Gradients::add(std::span<const float> factors, std::size_t begin, std::size_t end) {
    THRESHER_CHECK(begin % kPanel == 0, "rows from {} on are not whole panels of {}", begin,
                   kPanel);
    const auto residual = factors.first(classes_), embedding = factors.subspan(classes_);
    const GradientPick pick{residual, embedding, squared_norm_of(residual)};
    float distances[kPanel];
    for (std::size_t first = begin; first < end; first += kPanel) {
        const std::size_t rows = std::min(kPanel, end - first);
        HWY_DYNAMIC_DISPATCH(find_distances)
        ({residuals_.data() + first * classes_, shard_.embedding(first).data(),
          norms_.data() + first, rows},
         pick, distances);
        for (std::size_t row = 0; row < rows; ++row) {
            nearest_[first + row] = std::min(nearest_[first + row], distances[row]);
        }
    }
}

}  // namespace thresher
#endif
