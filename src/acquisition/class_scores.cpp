#include "src/acquisition/class_scores.hpp"

#include "src/acquisition/outputs.hpp"

// Highway compiles this file once for each instruction set and picks the best at run time.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/acquisition/class_scores.cpp"
#include "src/acquisition/targets.hpp"

#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "src/acquisition/lanes-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace thresher::HWY_NAMESPACE {

/// The score where the probabilities sum to 1, elsewhere NaN.
HWY_INLINE Doubles if_distribution(const Doubles& sum, const Doubles& score) {
    const hn::ScalableTag<double> d;
    return each(
        [&](auto x, auto y) {
            const auto off = hn::Abs(hn::Sub(x, hn::Set(d, 1.0)));
            return hn::IfThenElse(hn::Le(off, hn::Set(d, kSumTolerance)), y,
                                  hn::Set(d, std::numeric_limits<double>::quiet_NaN()));
        },
        sum, score);
}

/// Calls kernel(tile, row) for each group of rows, the first of them `row`; it returns their
/// scores. The columns behind the tile's, up to a multiple of kFloats, are -inf.
template <class Kernel>
HWY_INLINE void score_groups(const ClassOutputs& outputs, std::span<float> scores,
                             const Kernel& kernel) {
    const std::size_t columns = outputs.columns();
    const auto tile = hwy::AllocateAligned<float>(columns * kGroup + kFloats);
    std::fill_n(tile.get() + columns * kGroup, kFloats, -std::numeric_limits<float>::infinity());
    HWY_ALIGN float group[kGroup];
    for (std::size_t row = 0; row < scores.size(); row += kGroup) {
        const std::size_t count = std::min(kGroup, scores.size() - row);
        load_tile(outputs.log_probs + row * columns, columns, count, tile.get());
        const Doubles score = kernel(tile.get(), row);
        if (HWY_LIKELY(count == kGroup)) {
            store(score, scores.data() + row);
        } else {
            store(score, group);
            std::copy_n(group, count, scores.data() + row);
        }
    }
}

/// Adds terms of all rows of a group, two columns side by side where there is room, to their sums.
HWY_INLINE Doubles add_terms(const Doubles& sum, const Floats& terms) {
    HWY_ALIGN float folded[kFloats];
    if constexpr (kFloats == 2 * kGroup) {
        const hn::ScalableTag<float> d;
        hn::Store(hn::Add(terms.v0, terms.v2), d, folded);
        hn::Store(hn::Add(terms.v1, terms.v3), d, folded + kFloats / 4);
    } else {
        store_floats(terms, folded);
    }
    return sum + load(folded);
}

void mean_entropy(const ClassOutputs& outputs, std::span<float> scores) {
    constexpr std::size_t kFlush = 5 * kFloats;  // terms that are summed in single precision
    const std::size_t size = outputs.columns() * kGroup;
    const double inverse = 1.0 / static_cast<double>(outputs.samples);
    score_groups(outputs, scores, [&](const float* HWY_RESTRICT tile, std::size_t) {
        auto sum = all(0.0), negentropy = all(0.0);
        for (std::size_t begin = 0; begin < size; begin += kFlush) {
            const std::size_t end = std::min(size, begin + kFlush);
            auto sums = all<hn::ScalableTag<float>>(0.0F), terms = sums;
            for (std::size_t i = begin; i < end; i += kFloats) {
                const auto log_p = clamp_below(load_floats(tile + i), kLowestFloat);
                const auto p = exp(log_p);
                sums = sums + p;
                terms = fma(p, log_p, terms);
            }
            sum = add_terms(sum, sums);
            negentropy = add_terms(negentropy, terms);
        }
        return if_distribution(sum * all(inverse), max(all(0.0), negentropy * all(-inverse)));
    });
}

/// One class: with l the largest log-probability over samples and u_s = exp(l_s - l), the mean
/// prediction is p = exp(l) / S sum_s u_s.
struct ClassMoments {
    Doubles log_largest, largest;  ///< l, nothing below kLowest, and exp(l)
    Doubles sum;                   ///< of u_s: exactly S where the samples agree
    Doubles sum_log;               ///< of u_s (l_s - l): exactly 0 where they agree
};

HWY_INLINE ClassMoments moments_of_class(const ClassOutputs& outputs, std::size_t c,
                                         const float* HWY_RESTRICT tile) {
    const hn::ScalableTag<float> d;
    const std::size_t step = outputs.classes * kGroup;
    const float* HWY_RESTRICT first = tile + c * kGroup;
    HWY_ALIGN float largest[kGroup];
    for (std::size_t lane = 0; lane < kGroup; lane += hn::Lanes(d)) {
        auto v = hn::Load(d, first + lane);
        for (std::size_t s = 1; s < outputs.samples; ++s) {
            v = hn::Max(v, hn::Load(d, first + s * step + lane));
        }
        hn::Store(v, d, largest + lane);
    }
    ClassMoments m{clamp_below(load(largest), kLowest), all(0.0), all(0.0), all(0.0)};
    for (std::size_t s = 0; s < outputs.samples; ++s) {
        const auto log_u = clamp_below(load(first + s * step) - m.log_largest, kLowest);
        const auto u = exp(log_u);
        m.sum = m.sum + u;
        m.sum_log = fma(u, log_u, m.sum_log);
    }
    m.largest = exp(m.log_largest);
    return m;
}

void entropy_of_mean(const ClassOutputs& outputs, std::span<float> scores) {
    const auto samples = all(static_cast<double>(outputs.samples));
    const auto log_samples = log_or_zero(samples);
    score_groups(outputs, scores, [&](const float* tile, std::size_t) {
        auto sum = all(0.0), negentropy = all(0.0);
        for (std::size_t c = 0; c < outputs.classes; ++c) {
            const ClassMoments m = moments_of_class(outputs, c, tile);
            const auto p = m.largest * m.sum;
            sum = sum + p;
            negentropy = fma(p, m.log_largest + (log_or_zero(m.sum) - log_samples), negentropy);
        }
        return if_distribution(sum / samples, max(all(0.0), all(0.0) - negentropy / samples));
    });
}

void mutual_information(const ClassOutputs& outputs, std::span<float> scores) {
    const auto samples = all(static_cast<double>(outputs.samples));
    const auto log_samples = log_or_zero(samples);
    score_groups(outputs, scores, [&](const float* tile, std::size_t) {
        auto sum = all(0.0), information = all(0.0);
        for (std::size_t c = 0; c < outputs.classes; ++c) {
            const ClassMoments m = moments_of_class(outputs, c, tile);
            sum = fma(m.largest, m.sum, sum);
            const auto gap = fnma(m.sum, log_or_zero(m.sum) - log_samples, m.sum_log);
            information = fma(m.largest, gap, information);
        }
        return if_distribution(sum / samples, max(all(0.0), information / samples));
    });
}

/// The sum over samples of the probabilities of one class.
HWY_INLINE Doubles sum_of_class(const ClassOutputs& outputs, std::size_t c,
                                const float* HWY_RESTRICT tile) {
    auto sum = probability(tile + c * kGroup);
    for (std::size_t s = 1; s < outputs.samples; ++s) {
        sum = sum + probability(tile + (s * outputs.classes + c) * kGroup);
    }
    return sum;
}

void one_minus_largest(const ClassOutputs& outputs, std::span<float> scores) {
    const auto samples = static_cast<double>(outputs.samples);
    score_groups(outputs, scores, [&](const float* tile, std::size_t) {
        auto sum = all(0.0), largest = all(0.0);
        for (std::size_t c = 0; c < outputs.classes; ++c) {
            const auto p = sum_of_class(outputs, c, tile);
            sum = sum + p;
            largest = max(largest, p);
        }
        return if_distribution(sum / all(samples),
                               max(all(0.0), all(1.0) - largest / all(samples)));
    });
}

void one_minus_lead(const ClassOutputs& outputs, std::span<float> scores) {
    const auto samples = static_cast<double>(outputs.samples);
    score_groups(outputs, scores, [&](const float* tile, std::size_t) {
        auto sum = all(0.0), first = all(0.0), second = all(0.0);
        for (std::size_t c = 0; c < outputs.classes; ++c) {
            const auto p = sum_of_class(outputs, c, tile);
            sum = sum + p;
            second = max(second, min(first, p));
            first = max(first, p);
        }
        return if_distribution(sum / all(samples), all(1.0) - (first - second) / all(samples));
    });
}

void mean_deviation(const ClassOutputs& outputs, std::span<float> scores) {
    const auto samples = static_cast<double>(outputs.samples);
    const auto classes = static_cast<double>(outputs.classes);
    score_groups(outputs, scores, [&](const float* tile, std::size_t) {
        auto sum = all(0.0), deviation = all(0.0);
        for (std::size_t c = 0; c < outputs.classes; ++c) {
            // Differences from the first sample: exactly 0 where the samples agree.
            const auto p = probability(tile + c * kGroup);
            auto shift = all(0.0), square = all(0.0);
            for (std::size_t s = 1; s < outputs.samples; ++s) {
                const auto difference = probability(tile + (s * outputs.classes + c) * kGroup) - p;
                shift = shift + difference;
                square = fma(difference, difference, square);
            }
            shift = shift / all(samples);
            sum = sum + (p + shift);
            const auto variance = fnma(shift, shift, square / all(samples));
            deviation = deviation + sqrt(max(all(0.0), variance));
        }
        return if_distribution(sum, deviation / all(classes));
    });
}

void distance_to_vote(const ClassOutputs& outputs, std::span<float> scores) {
    const auto samples = static_cast<double>(outputs.samples);
    score_groups(outputs, scores, [&](const float* tile, std::size_t) {
        auto sum = all(0.0), largest = all(0.0), others = all(0.0);
        for (std::size_t c = 0; c < outputs.classes; ++c) {
            const auto p = sum_of_class(outputs, c, tile) / all(samples);
            const auto other = min(largest, p);
            sum = sum + p;
            others = fma(other, other, others);
            largest = max(largest, p);
        }
        const auto rest = all(1.0) - largest;
        return if_distribution(sum, sqrt(fma(rest, rest, others)));
    });
}

void distance_to_target(const ClassOutputs& outputs, std::span<const std::int64_t> targets,
                        std::span<float> scores) {
    const auto samples = static_cast<double>(outputs.samples);
    score_groups(outputs, scores, [&](const float* tile, std::size_t row) {
        HWY_ALIGN double target[kGroup];
        HWY_ALIGN double unknown[kGroup];  // what makes the score of a row without target NaN
        for (std::size_t lane = 0; lane < kGroup; ++lane) {
            const std::int64_t t = row + lane < targets.size() ? targets[row + lane] : -1;
            const bool known = t >= 0 && t < static_cast<std::int64_t>(outputs.classes);
            target[lane] = static_cast<double>(t);
            unknown[lane] = known ? 0.0 : std::numeric_limits<double>::quiet_NaN();
        }
        auto sum = all(0.0), distance = load(unknown);
        for (std::size_t s = 0; s < outputs.samples; ++s) {
            auto square = all(0.0);
            for (std::size_t c = 0; c < outputs.classes; ++c) {
                const auto p = probability(tile + (s * outputs.classes + c) * kGroup);
                const auto truth =
                    if_equal(load(target), all(static_cast<double>(c)), all(1.0), all(0.0));
                sum = sum + p;
                square = fma(p - truth, p - truth, square);
            }
            distance = distance + sqrt(square);
        }
        return if_distribution(sum / all(samples), distance / all(samples));
    });
}

void count_votes(const ClassOutputs& outputs, std::span<std::uint32_t> votes,
                 std::span<float> scores) {
    const auto samples = static_cast<double>(outputs.samples);
    std::fill(votes.begin(), votes.end(), 0U);
    score_groups(outputs, scores, [&](const float* tile, std::size_t row) {
        HWY_ALIGN double vote[kGroup];
        const std::size_t count = std::min(kGroup, scores.size() - row);
        auto sum = all(0.0);
        for (std::size_t s = 0; s < outputs.samples; ++s) {
            const float* HWY_RESTRICT sample = tile + s * outputs.classes * kGroup;
            auto largest = load(sample), winner = all(0.0);
            for (std::size_t c = 0; c < outputs.classes; ++c) {
                const auto log_p = load(sample + c * kGroup);
                sum = sum + exp(clamp_below(log_p, kLowest));
                winner = if_greater(log_p, largest, all(static_cast<double>(c)), winner);
                largest = if_greater(log_p, largest, log_p, largest);
            }
            store(winner, vote);
            for (std::size_t lane = 0; lane < count; ++lane) {
                ++votes[(row + lane) * outputs.classes + static_cast<std::size_t>(vote[lane])];
            }
        }
        return if_distribution(sum / all(samples), all(0.0));
    });
}

}  // namespace thresher::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace thresher {

HWY_EXPORT(mean_entropy);
HWY_EXPORT(entropy_of_mean);
HWY_EXPORT(mutual_information);
HWY_EXPORT(one_minus_largest);
HWY_EXPORT(one_minus_lead);
HWY_EXPORT(mean_deviation);
HWY_EXPORT(distance_to_vote);
HWY_EXPORT(distance_to_target);
HWY_EXPORT(count_votes);

void score_mean_entropy(const ClassOutputs& outputs, std::span<float> scores) {
    HWY_DYNAMIC_DISPATCH(mean_entropy)(outputs, scores);
}

void score_entropy_of_mean(const ClassOutputs& outputs, std::span<float> scores) {
    HWY_DYNAMIC_DISPATCH(entropy_of_mean)(outputs, scores);
}

void score_mutual_information(const ClassOutputs& outputs, std::span<float> scores) {
    HWY_DYNAMIC_DISPATCH(mutual_information)(outputs, scores);
}

void score_one_minus_largest(const ClassOutputs& outputs, std::span<float> scores) {
    HWY_DYNAMIC_DISPATCH(one_minus_largest)(outputs, scores);
}

void score_one_minus_lead(const ClassOutputs& outputs, std::span<float> scores) {
    HWY_DYNAMIC_DISPATCH(one_minus_lead)(outputs, scores);
}

void score_mean_deviation(const ClassOutputs& outputs, std::span<float> scores) {
    HWY_DYNAMIC_DISPATCH(mean_deviation)(outputs, scores);
}

void score_distance_to_vote(const ClassOutputs& outputs, std::span<float> scores) {
    HWY_DYNAMIC_DISPATCH(distance_to_vote)(outputs, scores);
}

void score_distance_to_target(const ClassOutputs& outputs, std::span<const std::int64_t> targets,
                              std::span<float> scores) {
    HWY_DYNAMIC_DISPATCH(distance_to_target)(outputs, targets, scores);
}

void count_votes(const ClassOutputs& outputs, std::span<std::uint32_t> votes,
                 std::span<float> scores) {
    HWY_DYNAMIC_DISPATCH(count_votes)(outputs, votes, scores);
}

}  // namespace thresher
#endif
