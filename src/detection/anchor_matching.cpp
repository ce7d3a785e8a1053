#include "src/detection/anchor_matching.hpp"

#include <algorithm>

#include "src/base/check.hpp"

// Highway compiles this file once for each instruction set and picks the best at run time.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/detection/anchor_matching.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#ifndef THRESHER_ANCHOR_COLUMNS
#define THRESHER_ANCHOR_COLUMNS
namespace thresher {

/// Anchors, and what is known of each so far, column by column, so that a vector holds several.
struct AnchorColumns {
    static constexpr std::size_t kStep = 64;  ///< no vector of floats has more lanes
    static_assert(HWY_MAX_BYTES / sizeof(float) <= kStep);

    std::size_t padded = 0;  ///< whole vectors; anchors without area fill the last one
    std::vector<float> sides[4], area;
    std::vector<float> overlap;         ///< with the object at hand
    std::vector<float> most;            ///< overlap of all objects so far
    std::vector<std::int32_t> object;   ///< that has it
    std::vector<std::int32_t> forced;   ///< the object that this is the best anchor of; -1: none
    std::vector<std::int32_t> crowded;  ///< not 0: half of it or more lies in a crowd

    void fill(std::span<const float> anchors) {
        const std::size_t count = anchors.size() / 4;
        padded = (count + kStep - 1) / kStep * kStep;
        for (auto& side : sides) side.assign(padded, 0.0F);
        area.assign(padded, 0.0F);
        for (std::size_t i = 0; i < count; ++i) {
            const float* const box = anchors.data() + 4 * i;
            for (std::size_t side = 0; side < 4; ++side) sides[side][i] = box[side];
            area[i] = (box[2] - box[0]) * (box[3] - box[1]);
        }
        overlap.resize(padded);
        most.assign(padded, 0.0F);
        object.assign(padded, kBackground);
        forced.assign(padded, -1);
        crowded.assign(padded, 0);
    }
};

}  // namespace thresher
#endif

HWY_BEFORE_NAMESPACE();
namespace thresher::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::ScalableTag<float>;
using Places = hn::RebindToSigned<Floats>;

/// The intersection of a box with the anchors from i on.
class Intersection {
  public:
    Intersection(const AnchorColumns& anchors, const LabelledBox& box)
        : anchors_(anchors), box_(box) {}

    HWY_INLINE hn::Vec<Floats> operator()(std::size_t i) const {
        const Floats d;
        const auto side = [&](std::size_t which) {
            return hn::LoadU(d, anchors_.sides[which].data() + i);
        };
        const auto width =
            hn::Sub(hn::Min(side(2), hn::Set(d, box_.x1)), hn::Max(side(0), hn::Set(d, box_.x0)));
        const auto height =
            hn::Sub(hn::Min(side(3), hn::Set(d, box_.y1)), hn::Max(side(1), hn::Set(d, box_.y0)));
        return hn::Mul(hn::Max(width, hn::Zero(d)), hn::Max(height, hn::Zero(d)));
    }

  private:
    const AnchorColumns& anchors_;
    const LabelledBox& box_;
};

void add_object(AnchorColumns& anchors, const LabelledBox& box, std::int32_t place) {
    const Floats d;
    const Places p;
    const Intersection intersection(anchors, box);
    const auto own_area = hn::Set(d, (box.x1 - box.x0) * (box.y1 - box.y0));
    const auto own_place = hn::Set(p, place);
    auto best = hn::Zero(d);
    for (std::size_t i = 0; i < anchors.padded; i += hn::Lanes(d)) {
        const auto both = intersection(i);
        const auto either = hn::Sub(hn::Add(own_area, hn::LoadU(d, anchors.area.data() + i)), both);
        const auto overlap = hn::Div(both, either);
        hn::StoreU(overlap, d, anchors.overlap.data() + i);
        const auto most = hn::LoadU(d, anchors.most.data() + i);
        const auto object = hn::LoadU(p, anchors.object.data() + i);
        const auto more = hn::Gt(overlap, most);
        hn::StoreU(hn::Max(overlap, most), d, anchors.most.data() + i);
        hn::StoreU(hn::IfThenElse(hn::RebindMask(p, more), own_place, object), p,
                   anchors.object.data() + i);
        best = hn::Max(best, overlap);
    }
    best = hn::MaxOfLanes(d, best);
    if (hn::GetLane(best) <= 0.0F) return;
    for (std::size_t i = 0; i < anchors.padded; i += hn::Lanes(d)) {
        const auto is_best = hn::Eq(hn::LoadU(d, anchors.overlap.data() + i), best);
        const auto forced = hn::LoadU(p, anchors.forced.data() + i);
        hn::StoreU(hn::IfThenElse(hn::RebindMask(p, is_best), own_place, forced), p,
                   anchors.forced.data() + i);
    }
}

void add_crowd(AnchorColumns& anchors, const LabelledBox& box) {
    const Floats d;
    const Places p;
    const Intersection intersection(anchors, box);
    for (std::size_t i = 0; i < anchors.padded; i += hn::Lanes(d)) {
        const auto both = intersection(i);
        const auto inside = hn::Ge(hn::Add(both, both), hn::LoadU(d, anchors.area.data() + i));
        const auto crowded = hn::LoadU(p, anchors.crowded.data() + i);
        hn::StoreU(hn::IfThenElse(hn::RebindMask(p, inside), hn::Set(p, 1), crowded), p,
                   anchors.crowded.data() + i);
    }
}

}  // namespace thresher::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace thresher {

HWY_EXPORT(add_object);
HWY_EXPORT(add_crowd);

void match_anchors(std::span<const float> anchors, std::span<const LabelledBox> boxes,
                   const AnchorRule& rule, std::span<std::int32_t> matches) {
    THRESHER_CHECK(anchors.size() == 4 * matches.size(),
                   "{} matches are to be found for {} corners of anchors; allowed: 4 corners each",
                   matches.size(), anchors.size());
    thread_local AnchorColumns columns;
    columns.fill(anchors);
    for (std::size_t i = 0; i < boxes.size(); ++i) {
        const LabelledBox& box = boxes[i];
        // One without an extent has no code either.
        if (!box.is_object() || !(box.x1 > box.x0 && box.y1 > box.y0)) continue;
        if ((box.flags & kCrowd) != 0) {
            HWY_DYNAMIC_DISPATCH(add_crowd)(columns, box);
        } else {
            HWY_DYNAMIC_DISPATCH(add_object)(columns, box, static_cast<std::int32_t>(i));
        }
    }
    const auto found = static_cast<float>(rule.found);
    const auto background = static_cast<float>(rule.background);
    for (std::size_t i = 0; i < matches.size(); ++i) {
        if (columns.forced[i] >= 0) {
            matches[i] = columns.forced[i];
        } else if (columns.most[i] >= found) {
            matches[i] = columns.object[i];
        } else {
            const bool neither = columns.most[i] >= background || columns.crowded[i] != 0;
            matches[i] = neither ? kNeither : kBackground;
        }
    }
}

}  // namespace thresher
#endif
