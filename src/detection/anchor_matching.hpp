#pragma once

// Which object each anchor of a detector is to find.

#include <cstdint>
#include <span>
#include <vector>

#include "src/pool/boxes.hpp"

namespace thresher {

struct AnchorRule {
    double found = 0.5;       ///< overlap from which an anchor is to find an object
    double background = 0.5;  ///< overlap below which it is to find nothing; between: neither
};

/// SSD (Liu et al. 2016): 0.5 and 0.5; RetinaNet (Lin et al. 2017): 0.5 and 0.4.
inline constexpr AnchorRule kSsdRule{0.5, 0.5}, kRetinanetRule{0.5, 0.4};

/// What an anchor is for, where it is not the place of a box.
constexpr std::int32_t kBackground = -1, kNeither = -2;

/// Fills `matches` [A] for anchors [A, 4], corners: the place in `boxes` of the object that the
/// anchor overlaps most, or one of the two above. The best anchor of an object (all of the best,
/// where they tie; none, where none overlaps it) is for it in any case, of two objects for the
/// later one. Boxes that are no objects are passed over; crowds are for no anchor, and background
/// that lies in one by half or more of its area is neither. Local.
void match_anchors(std::span<const float> anchors, std::span<const LabelledBox> boxes,
                   const AnchorRule& rule, std::span<std::int32_t> matches);

}  // namespace thresher
