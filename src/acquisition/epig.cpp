// Expected predictive information gain: what the label of a row would tell about the labels of a
// target pool.

#include <cmath>
#include <vector>

#include "src/acquisition/outputs.hpp"
#include "src/acquisition/pointwise.hpp"
#include "src/base/check.hpp"
#include "src/base/thread_team.hpp"

// Highway compiles this file once for each instruction set and picks the best at run time.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/acquisition/epig.cpp"
#include "src/acquisition/targets.hpp"

#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "src/acquisition/lanes-inl.hpp"

namespace thresher {
#ifndef THRESHER_ACQUISITION_EPIG
#define THRESHER_ACQUISITION_EPIG
namespace {

/// Predictions of consecutive rows, class by class: their means over samples, and what each sample
/// adds to the mean. Where all samples agree the second is exactly 0.
struct CentredPredictions {
    std::vector<double> means;       ///< [width]
    std::vector<double> deviations;  ///< [S, width]
    std::size_t width = 0;           ///< rows x C, and zeros up to a multiple of kWidthStep
};

constexpr std::size_t kWidthStep = 64;  ///< no vectors hold more doubles than this, four together

}  // namespace
#endif
}  // namespace thresher

HWY_BEFORE_NAMESPACE();
namespace thresher::HWY_NAMESPACE {

static_assert(kWidthStep % kGroup == 0);

/// sum over y, y* of p(y, y*) log(p(y, y*) / (p(y) p(y*))) for one row, y, and all targets, y*.
/// With the covariance over samples, p(y, y*) = p(y) p(y*) + cov(y, y*).
double sum_of_information(const double* HWY_RESTRICT means, const double* HWY_RESTRICT deviations,
                          std::size_t classes, std::size_t samples,
                          const CentredPredictions& targets) {
    const hn::ScalableTag<double> d;
    const auto inverse = all(1.0 / static_cast<double>(samples));
    auto information = all(0.0);
    for (std::size_t i = 0; i < targets.width; i += kGroup) {
        const auto target = load(targets.means.data() + i);
        for (std::size_t c = 0; c < classes; ++c) {
            auto covariance = all(0.0);
            for (std::size_t s = 0; s < samples; ++s) {
                covariance =
                    fma(all(deviations[s * classes + c]),
                        load(targets.deviations.data() + s * targets.width + i), covariance);
            }
            const auto product = all(means[c]) * target;
            const auto joint = fma(covariance, inverse, product);
            const auto ratio = if_greater(product, all(0.0), joint / product, all(1.0));
            information = fma(joint, log_or_zero(ratio), information);
        }
    }
    const auto halves =
        hn::Add(hn::Add(information.v0, information.v1), hn::Add(information.v2, information.v3));
    return hn::GetLane(hn::SumOfLanes(d, halves));
}

}  // namespace thresher::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace thresher {

namespace {

HWY_EXPORT(sum_of_information);

/// Fills means [C] and deviations [S, C], `stride` apart, of one row. False where it is no
/// distribution.
bool centre_row(const float* log_probs, std::size_t samples, std::size_t classes,
                std::size_t stride, double* means, double* deviations) {
    double total = 0.0;
    for (std::size_t c = 0; c < classes; ++c) {
        const double first = std::exp(double{log_probs[c]});
        double shift = 0.0;
        for (std::size_t s = 0; s < samples; ++s) {
            deviations[s * stride + c] = std::exp(double{log_probs[s * classes + c]}) - first;
            shift += deviations[s * stride + c];
        }
        shift /= static_cast<double>(samples);
        for (std::size_t s = 0; s < samples; ++s) deviations[s * stride + c] -= shift;
        means[c] = first + shift;
        total += means[c];
    }
    return std::abs(total - 1.0) <= kSumTolerance;
}

CentredPredictions centre_targets(std::span<const float> log_probs, std::size_t samples,
                                  std::size_t classes) {
    const std::size_t columns = samples * classes;
    const std::size_t rows = log_probs.size() / columns;
    CentredPredictions targets;
    targets.width = (rows * classes + kWidthStep - 1) / kWidthStep * kWidthStep;
    targets.means.resize(targets.width);
    targets.deviations.resize(samples * targets.width);
    for (std::size_t row = 0; row < rows; ++row) {
        const bool legal = centre_row(log_probs.data() + row * columns, samples, classes,
                                      targets.width, targets.means.data() + row * classes,
                                      targets.deviations.data() + row * classes);
        THRESHER_CHECK(legal,
                       "row {} of the {} target predictions is no probability distribution: it "
                       "holds a NaN or does not sum to 1; leave it out of the target pool",
                       row, rows);
    }
    return targets;
}

}  // namespace

void score_epig(const PredictionView& predictions, std::span<float> scores) {
    const auto samples = static_cast<std::size_t>(predictions.samples);
    const auto classes = static_cast<std::size_t>(predictions.classes);
    const std::span<const float> target_log_probs = predictions.others.target_log_probs;
    THRESHER_CHECK(predictions.log_probs.size() == scores.size() * samples * classes,
                   "{} log-probabilities for {} rows of {} samples and {} classes",
                   predictions.log_probs.size(), scores.size(), samples, classes);
    THRESHER_CHECK(!target_log_probs.empty() && target_log_probs.size() % (samples * classes) == 0,
                   "{} log-probabilities of targets for {} samples and {} classes; the target pool "
                   "must have rows, and predictions by the same members as the pool",
                   target_log_probs.size(), samples, classes);
    const auto target_count = static_cast<double>(target_log_probs.size() / (samples * classes));
    const CentredPredictions targets = centre_targets(target_log_probs, samples, classes);
    constexpr std::int64_t kGrain = 16;  // rows a thread takes at a time
    parallel_for(static_cast<std::int64_t>(scores.size()), kGrain,
                 [&](std::int64_t begin, std::int64_t end) {
                     std::vector<double> means(classes), deviations(samples * classes);
                     for (auto row = static_cast<std::size_t>(begin);
                          row < static_cast<std::size_t>(end); ++row) {
                         const bool legal =
                             centre_row(predictions.log_probs.data() + row * samples * classes,
                                        samples, classes, classes, means.data(), deviations.data());
                         const double sum = HWY_DYNAMIC_DISPATCH(sum_of_information)(
                             means.data(), deviations.data(), classes, samples, targets);
                         scores[row] = legal ? static_cast<float>(std::max(0.0, sum / target_count))
                                             : std::numeric_limits<float>::quiet_NaN();
                     }
                 });
}

}  // namespace thresher
#endif
