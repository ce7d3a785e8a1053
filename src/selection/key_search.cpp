#include "src/selection/key_search.hpp"

#include <algorithm>

// Highway compiles this file once for each instruction set and picks the best at run time.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/selection/key_search.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace thresher::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

void widen_range(std::span<const std::uint32_t> keys, std::uint32_t& smallest,
                 std::uint32_t& largest) {
    const hn::ScalableTag<std::uint32_t> d;
    const std::size_t lanes = hn::Lanes(d);
    auto low = hn::Set(d, smallest), high = hn::Set(d, largest);
    std::size_t i = 0;
    for (; i + lanes <= keys.size(); i += lanes) {
        const auto key = hn::LoadU(d, keys.data() + i);
        low = hn::Min(low, key);
        high = hn::Max(high, key);
    }
    smallest = hn::GetLane(hn::MinOfLanes(d, low));
    largest = hn::GetLane(hn::MaxOfLanes(d, high));
    for (; i < keys.size(); ++i) {
        smallest = std::min(smallest, keys[i]);
        largest = std::max(largest, keys[i]);
    }
}

void find_keys(std::span<const std::uint32_t> keys, std::uint32_t lowest, std::uint32_t width,
               std::vector<std::size_t>& found) {
    const hn::ScalableTag<std::uint32_t> d;
    const std::size_t lanes = hn::Lanes(d);
    const std::size_t block = 8 * lanes;
    const auto find_among = [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
            if (keys[i] - lowest <= width) found.push_back(i);
        }
    };
    std::size_t begin = 0;
    for (; begin + block <= keys.size(); begin += block) {
        auto nearest = hn::Set(d, ~0U);
        for (std::size_t i = begin; i < begin + block; i += lanes) {
            const auto key = hn::LoadU(d, keys.data() + i);
            nearest = hn::Min(nearest, hn::Sub(key, hn::Set(d, lowest)));
        }
        if (!hn::AllTrue(d, hn::Gt(nearest, hn::Set(d, width)))) find_among(begin, begin + block);
    }
    find_among(begin, keys.size());
}

}  // namespace thresher::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace thresher {

HWY_EXPORT(widen_range);
HWY_EXPORT(find_keys);

void widen_range(std::span<const std::uint32_t> keys, std::uint32_t& smallest,
                 std::uint32_t& largest) {
    HWY_DYNAMIC_DISPATCH(widen_range)(keys, smallest, largest);
}

void find_keys(std::span<const std::uint32_t> keys, std::uint32_t lowest, std::uint32_t width,
               std::vector<std::size_t>& found) {
    HWY_DYNAMIC_DISPATCH(find_keys)(keys, lowest, width, found);
}

}  // namespace thresher
#endif
