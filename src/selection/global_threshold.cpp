#include "src/selection/global_threshold.hpp"

#include <array>

#include "src/base/check.hpp"

namespace thresher {

namespace {

constexpr std::size_t kBins = 2048;
using Histogram = std::array<std::int64_t, kBins>;

}  // namespace

Threshold find_threshold(Collective& collective,
                         std::span<const std::span<const std::uint32_t>> pieces, std::int64_t k) {
    // Shifts and widths of the three digits, the highest first.
    constexpr std::array<int, 3> kShift{21, 10, 0};
    constexpr std::array<int, 3> kWidth{11, 11, 10};

    Threshold result;
    std::uint32_t prefix = 0;
    std::int64_t wanted = k;
    for (std::size_t digit = 0; digit < 3; ++digit) {
        const int shift = kShift[digit];
        const std::uint32_t digit_mask = (1U << kWidth[digit]) - 1;
        // 64-bit so that the first digit, whose prefix is empty, may shift everything out.
        const int prefix_shift = shift + kWidth[digit];
        Histogram counts{};
        for (const std::span<const std::uint32_t> piece : pieces) {
            for (const std::uint32_t key : piece) {
                if ((std::uint64_t{key} >> prefix_shift) == prefix) {
                    ++counts[(key >> shift) & digit_mask];
                }
            }
        }
        collective.all_reduce_sum(std::span(counts).first(std::size_t{digit_mask} + 1));
        std::size_t bin = digit_mask;
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
