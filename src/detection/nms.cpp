#include "src/detection/nms.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "src/base/check.hpp"
#include "src/base/thread_team.hpp"
#include "src/selection/ordered_key.hpp"

// Highway compiles this file once for each instruction set and picks the best at run time.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/detection/nms.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace thresher::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

/// Boxes that stay, column by column, so that a vector holds the same side of several. What pads
/// the columns is an empty box, which overlaps nothing.
class Kept {
  public:
    void clear() {
        count_ = 0;
        for (auto& column : columns_) std::fill(column.begin(), column.end(), 0.0F);
    }

    void add(const float* HWY_RESTRICT box, float area) {
        if (count_ % kStep == 0) {
            for (auto& column : columns_) column.resize(std::max(column.size(), count_ + kStep));
        }
        for (std::size_t side = 0; side < 4; ++side) columns_[side][count_] = box[side];
        columns_[4][count_++] = area;
    }

    /// Whether one of them overlaps the box by more than `limit`.
    HWY_INLINE bool overlaps(const float* HWY_RESTRICT box, float area, float limit) const {
        const hn::ScalableTag<float> d;
        const auto x0 = hn::Set(d, box[0]), y0 = hn::Set(d, box[1]);
        const auto x1 = hn::Set(d, box[2]), y1 = hn::Set(d, box[3]);
        const auto own_area = hn::Set(d, area), most = hn::Set(d, limit), zero = hn::Zero(d);
        for (std::size_t i = 0; i < count_; i += hn::Lanes(d)) {
            const auto load = [&](std::size_t column) {
                return hn::LoadU(d, columns_[column].data() + i);
            };
            const auto width = hn::Max(zero, hn::Sub(hn::Min(load(2), x1), hn::Max(load(0), x0)));
            const auto height = hn::Max(zero, hn::Sub(hn::Min(load(3), y1), hn::Max(load(1), y0)));
            const auto both = hn::Mul(width, height);
            const auto either = hn::Sub(hn::Add(load(4), own_area), both);
            if (!hn::AllFalse(d, hn::Gt(hn::Div(both, either), most))) return true;
        }
        return false;
    }

  private:
    static constexpr std::size_t kStep = 64;  ///< no vector of floats has more lanes
    static_assert(HWY_MAX_BYTES / sizeof(float) <= kStep);

    std::vector<float> columns_[5];
    std::size_t count_ = 0;
};

/// `places` are the boxes of one group in order of their score; `stays` of those that do becomes 1.
void suppress(const float* HWY_RESTRICT corners, std::span<const std::uint32_t> places, float limit,
              std::span<std::uint8_t> stays) {
    thread_local Kept kept;
    kept.clear();
    for (std::size_t i = 0; i < places.size(); ++i) {
        const float* HWY_RESTRICT box = corners + std::size_t{4} * places[i];
        const float area = (box[2] - box[0]) * (box[3] - box[1]);
        if (kept.overlaps(box, area, limit)) continue;
        kept.add(box, area);
        stays[i] = 1;
    }
}

}  // namespace thresher::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace thresher {

HWY_EXPORT(suppress);

namespace {

/// The largest float that is not above `threshold`: floats are above both or above neither.
float as_limit(double threshold) {
    const auto rounded = static_cast<float>(threshold);
    constexpr float kLowest = -std::numeric_limits<float>::infinity();
    return double{rounded} > threshold ? std::nextafter(rounded, kLowest) : rounded;
}

/// Places by falling score, equal ones by place.
std::vector<std::uint32_t> by_score(std::span<const float> scores) {
    std::vector<std::uint64_t> keys(scores.size());
    for (std::size_t i = 0; i < scores.size(); ++i) {
        THRESHER_CHECK(!std::isnan(scores[i]), "box {} has the score NaN", i);
        keys[i] = std::uint64_t{~ordered_key(scores[i])} << 32 | i;
    }
    std::sort(keys.begin(), keys.end());
    std::vector<std::uint32_t> places;
    places.reserve(keys.size());
    for (const std::uint64_t key : keys) places.push_back(static_cast<std::uint32_t>(key));
    return places;
}

}  // namespace

std::vector<std::int64_t> batched_nms(std::span<const float> corners, std::span<const float> scores,
                                      std::span<const std::int64_t> groups, double threshold) {
    const std::size_t boxes = scores.size();
    THRESHER_CHECK(corners.size() == 4 * boxes && groups.size() == boxes,
                   "{} scores come with {} corners and {} groups; allowed: 4 and 1 each", boxes,
                   corners.size(), groups.size());
    THRESHER_CHECK(boxes <= std::numeric_limits<std::uint32_t>::max(),
                   "{} boxes are more than 2^32 - 1", boxes);
    const std::vector<std::uint32_t> sorted = by_score(scores);

    // The order by score within each group: sorted by group and place in that order.
    std::vector<std::uint64_t> keys(boxes);
    for (std::size_t i = 0; i < boxes; ++i) {
        const std::int64_t group = groups[sorted[i]];
        THRESHER_CHECK(group >= 0 && group <= std::numeric_limits<std::uint32_t>::max(),
                       "box {} is in group {}; allowed: 0 to 2^32 - 1", sorted[i], group);
        keys[i] = static_cast<std::uint64_t>(group) << 32 | i;
    }
    std::sort(keys.begin(), keys.end());
    std::vector<std::uint32_t> places(boxes);
    std::vector<std::size_t> begins;
    for (std::size_t i = 0; i < boxes; ++i) {
        places[i] = sorted[static_cast<std::uint32_t>(keys[i])];
        if (i == 0 || keys[i] >> 32 != keys[i - 1] >> 32) begins.push_back(i);
    }
    begins.push_back(boxes);

    std::vector<std::uint8_t> stays(boxes, 0);
    const float limit = as_limit(threshold);
    parallel_for(std::ssize(begins) - 1, 1, [&](std::int64_t first, std::int64_t last) {
        for (auto group = static_cast<std::size_t>(first); std::cmp_less(group, last); ++group) {
            const std::size_t begin = begins[group], count = begins[group + 1] - begin;
            HWY_DYNAMIC_DISPATCH(suppress)
            (corners.data(), std::span(places).subspan(begin, count), limit,
             std::span(stays).subspan(begin, count));
        }
    });

    std::vector<std::uint8_t> stays_at(boxes, 0);  // by place in the order of all scores
    for (std::size_t i = 0; i < boxes; ++i)
        stays_at[static_cast<std::uint32_t>(keys[i])] = stays[i];
    std::vector<std::int64_t> kept;
    for (std::size_t i = 0; i < boxes; ++i) {
        if (stays_at[i] != 0) kept.push_back(sorted[i]);
    }
    return kept;
}

}  // namespace thresher
#endif
