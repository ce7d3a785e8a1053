#include "src/acquisition/outputs.hpp"

#include "src/base/check.hpp"
#include "src/base/thread_team.hpp"

// Highway compiles this file once for each instruction set and picks the best at run time.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/acquisition/outputs.cpp"
#include "src/acquisition/targets.hpp"

#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "src/acquisition/lanes-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace thresher::HWY_NAMESPACE {

/// Calls convert(tile), which changes the tile of a group in place, for all groups of rows.
template <class Convert>
HWY_INLINE void convert_groups(std::span<const float> from, std::size_t classes,
                               std::span<float> to, const Convert& convert) {
    const auto tile = hwy::AllocateAligned<float>(classes * kGroup);
    const std::size_t rows = from.size() / classes;
    for (std::size_t row = 0; row < rows; row += kGroup) {
        const std::size_t count = std::min(kGroup, rows - row);
        load_tile(from.data() + row * classes, classes, count, tile.get());
        convert(tile.get());
        store_tile(tile.get(), classes, count, to.data() + row * classes);
    }
}

void convert_logits(std::span<const float> logits, std::size_t classes,
                    std::span<float> log_probs) {
    convert_groups(logits, classes, log_probs, [&](float* HWY_RESTRICT tile) {
        const std::size_t size = classes * kGroup;
        auto largest = load(tile);
        for (std::size_t i = kGroup; i < size; i += kGroup) largest = max(largest, load(tile + i));
        auto sum = all(0.0);
        for (std::size_t i = 0; i < size; i += kGroup) {
            sum = sum + exp(clamp_below(load(tile + i) - largest, kLowest));
        }
        const auto log_sum = largest + log_or_zero(sum);
        for (std::size_t i = 0; i < size; i += kGroup) store(load(tile + i) - log_sum, tile + i);
    });
}

void convert_probabilities(std::span<const float> probabilities, std::size_t classes,
                           std::span<float> log_probs) {
    convert_groups(probabilities, classes, log_probs, [&](float* HWY_RESTRICT tile) {
        const hn::ScalableTag<double> d;
        const std::size_t size = classes * kGroup;
        auto sum = all(0.0), smallest = all(0.0);
        for (std::size_t i = 0; i < size; i += kGroup) {
            const auto p = load(tile + i);
            sum = sum + p;
            smallest = min(smallest, p);
        }
        // Added to the logarithms: 0, or NaN for a row that is no distribution.
        const auto verdict = each(
            [&](auto total, auto least) {
                const auto off = hn::Abs(hn::Sub(total, hn::Set(d, 1.0)));
                const auto legal =
                    hn::And(hn::Le(off, hn::Set(d, kSumTolerance)), hn::Eq(least, hn::Zero(d)));
                return hn::IfThenElse(legal, hn::Zero(d),
                                      hn::Set(d, std::numeric_limits<double>::quiet_NaN()));
            },
            sum, smallest);
        const auto log_of_zero = all(-std::numeric_limits<double>::infinity());
        for (std::size_t i = 0; i < size; i += kGroup) {
            const auto p = load(tile + i);
            store(if_equal(p, all(0.0), log_of_zero, log_or_zero(p)) + verdict, tile + i);
        }
    });
}

}  // namespace thresher::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace thresher {

namespace {

HWY_EXPORT(convert_logits);
HWY_EXPORT(convert_probabilities);

/// Calls convert(from, to) for runs of whole rows, on all threads.
template <class Convert>
void convert_rows(std::span<const float> from, std::int64_t classes, std::span<float> to,
                  const Convert& convert) {
    THRESHER_CHECK(classes > 0 && from.size() == to.size() &&
                       from.size() % static_cast<std::size_t>(classes) == 0,
                   "{} class outputs of {} classes for {} log-probabilities", from.size(), classes,
                   to.size());
    constexpr std::int64_t kGrain = 4096;  // rows a thread takes at a time
    parallel_for(static_cast<std::int64_t>(from.size()) / classes, kGrain,
                 [&](std::int64_t begin, std::int64_t end) {
                     const auto first = static_cast<std::size_t>(begin * classes);
                     const auto count = static_cast<std::size_t>((end - begin) * classes);
                     convert(from.subspan(first, count), to.subspan(first, count));
                 });
}

}  // namespace

void logits_to_log_probs(std::span<const float> logits, std::int64_t classes,
                         std::span<float> log_probs) {
    convert_rows(logits, classes, log_probs, [&](auto from, auto to) {
        HWY_DYNAMIC_DISPATCH(convert_logits)(from, static_cast<std::size_t>(classes), to);
    });
}

void probabilities_to_log_probs(std::span<const float> probabilities, std::int64_t classes,
                                std::span<float> log_probs) {
    convert_rows(probabilities, classes, log_probs, [&](auto from, auto to) {
        HWY_DYNAMIC_DISPATCH(convert_probabilities)(from, static_cast<std::size_t>(classes), to);
    });
}

bool are_distributions(std::span<const float> log_probs, std::int64_t classes) {
    const auto width = static_cast<std::size_t>(classes);
    for (std::size_t begin = 0; begin < log_probs.size(); begin += width) {
        double sum = 0.0;
        for (const float value : log_probs.subspan(begin, width)) sum += std::exp(double{value});
        if (!(std::abs(sum - 1.0) <= kSumTolerance)) return false;
    }
    return true;
}

}  // namespace thresher
#endif
