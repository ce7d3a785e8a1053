#include "src/selection/global_threshold.hpp"

#include <array>

#include "src/base/check.hpp"

namespace thresher {

namespace {

constexpr std::size_t kBins = 2048;
using Histogram = std::array<std::int64_t, kBins>;

/// Counts the digit of kWidth bits above the lowest kShift, of the keys whose bits above it are
/// `prefix`. Without a branch (keys near the cut would mispredict it) and in four histograms at
/// once (candidates crowd into few bins, and each count would wait for the one before).
template <int kShift, int kWidth>
Histogram count_digits(std::span<const std::span<const std::uint32_t>> pieces,
                       std::uint64_t prefix) {
    constexpr std::size_t kLanes = 4;
    constexpr std::uint32_t kElsewhere = kBins;
    std::array<std::array<std::uint32_t, kBins + 1>, kLanes> lanes{};
    constexpr std::uint32_t kMask = (1U << kWidth) - 1;
    // 64-bit so that the first digit, whose prefix is empty, may shift everything out.
    const auto bin_of = [&](std::uint32_t key) {
        const bool here = (std::uint64_t{key} >> (kShift + kWidth)) == prefix;
        return here ? (key >> kShift) & kMask : kElsewhere;
    };
    for (const std::span<const std::uint32_t> keys : pieces) {
        std::size_t i = 0;
        for (; i + kLanes <= keys.size(); i += kLanes) {
            for (std::size_t lane = 0; lane < kLanes; ++lane) ++lanes[lane][bin_of(keys[i + lane])];
        }
        for (; i < keys.size(); ++i) ++lanes[0][bin_of(keys[i])];
    }
    Histogram counts{};
    for (std::size_t bin = 0; bin < kBins; ++bin) {
        for (const auto& lane : lanes) counts[bin] += lane[bin];
    }
    return counts;
}

}  // namespace

Threshold find_threshold(Collective& collective,
                         std::span<const std::span<const std::uint32_t>> pieces, std::int64_t k) {
    // The three digits, the highest first.
    constexpr std::array<int, 3> kWidth{11, 11, 10};
    constexpr std::array kCount{&count_digits<21, 11>, &count_digits<10, 11>, &count_digits<0, 10>};

    Threshold result;
    std::uint32_t prefix = 0;
    std::int64_t wanted = k;
    for (std::size_t digit = 0; digit < 3; ++digit) {
        const std::uint32_t digit_mask = (1U << kWidth[digit]) - 1;
        Histogram counts = kCount[digit](pieces, prefix);
        collective.all_reduce_sum(std::span(counts).first(std::size_t{digit_mask} + 1));
        std::size_t bin = digit_mask;
        if (digit == 0) {
            while (bin > 0 && counts[bin] == 0) --bin;
            result.largest = (static_cast<std::uint32_t>(bin) << 21) | 0x1fffffU;
        }
        while (counts[bin] < wanted) {
            wanted -= counts[bin];
            result.greater += counts[bin];
            THRESHER_CHECK(bin > 0, "the {}-th largest key was asked for, but there are fewer", k);
            --bin;
        }
        result.equal = counts[bin];
        prefix = (prefix << kWidth[digit]) | static_cast<std::uint32_t>(bin);
    }
    result.key = prefix;
    return result;
}

std::int64_t find_id_cut(Collective& collective, std::span<const std::int64_t> ids,
                         std::int64_t wanted) {
    std::uint64_t prefix = 0;
    for (int shift = 55; shift >= 0; shift -= 11) {
        Histogram counts{};
        for (const std::int64_t id : ids) {
            const std::uint64_t high = static_cast<std::uint64_t>(id) >> shift;
            if ((high >> 11) == prefix) ++counts[high & (kBins - 1)];
        }
        collective.all_reduce_sum(std::span(counts));
        std::size_t bin = 0;
        while (counts[bin] < wanted) {
            wanted -= counts[bin];
            THRESHER_CHECK(bin + 1 < kBins, "more tied ids were asked for than there are");
            ++bin;
        }
        prefix = (prefix << 11) | bin;
    }
    return static_cast<std::int64_t>(prefix);
}

}  // namespace thresher
