// What anchors are for, by hand, and against the rule written out for each anchor.

#include "src/detection/anchor_matching.hpp"

#include <algorithm>
#include <random>

#include "src/base/check.hpp"
#include "tests/support/catch.hpp"

using namespace thresher;

namespace {

using Matches = std::vector<std::int32_t>;

LabelledBox object(float x0, float y0, float x1, float y1, std::int32_t flags = 0) {
    return {x0, y0, x1, y1, 0.0F, 3, flags};
}

Matches match(const std::vector<float>& anchors, const std::vector<LabelledBox>& boxes,
              const AnchorRule& rule) {
    Matches matches(anchors.size() / 4, 77);
    match_anchors(anchors, boxes, rule, matches);
    return matches;
}

float intersection(const float* anchor, const LabelledBox& box) {
    const float width = std::min(anchor[2], box.x1) - std::max(anchor[0], box.x0);
    const float height = std::min(anchor[3], box.y1) - std::max(anchor[1], box.y0);
    return std::max(width, 0.0F) * std::max(height, 0.0F);
}

float area(const float* anchor) { return (anchor[2] - anchor[0]) * (anchor[3] - anchor[1]); }

float overlap(const float* anchor, const LabelledBox& box) {
    const float both = intersection(anchor, box);
    return both / ((box.x1 - box.x0) * (box.y1 - box.y0) + area(anchor) - both);
}

/// The rule, anchor by anchor.
Matches by_the_rule(const std::vector<float>& anchors, const std::vector<LabelledBox>& boxes,
                    const AnchorRule& rule) {
    const std::size_t count = anchors.size() / 4;
    const auto counts = [](const LabelledBox& box) {
        return box.class_index >= 0 && (box.flags & kCrowd) == 0;
    };
    std::vector<float> best(boxes.size(), 0.0F);
    for (std::size_t j = 0; j < boxes.size(); ++j) {
        for (std::size_t i = 0; i < count; ++i) {
            best[j] = std::max(best[j], overlap(&anchors[4 * i], boxes[j]));
        }
    }
    Matches matches;
    for (std::size_t i = 0; i < count; ++i) {
        const float* const anchor = &anchors[4 * i];
        std::int32_t most_of = -1, best_of = -1;
        float most = 0.0F;
        bool in_crowd = false;
        for (std::size_t j = 0; j < boxes.size(); ++j) {
            if (boxes[j].class_index >= 0 && !counts(boxes[j])) {
                in_crowd |= intersection(anchor, boxes[j]) >= 0.5F * area(anchor);
            }
            if (!counts(boxes[j])) continue;
            const float own = overlap(anchor, boxes[j]);
            if (own > most) {
                most = own;
                most_of = static_cast<std::int32_t>(j);
            }
            if (own > 0.0F && own == best[j]) best_of = static_cast<std::int32_t>(j);
        }
        const bool found = most >= static_cast<float>(rule.found);
        const bool background = most < static_cast<float>(rule.background) && !in_crowd;
        matches.push_back(best_of >= 0 ? best_of
                          : found      ? most_of
                          : background ? kBackground
                                       : kNeither);
    }
    return matches;
}

}  // namespace

TEST_CASE("overlap decides whether an anchor finds an object, nothing, or is neither") {
    // Anchors w wide of one object 100 wide and as high: they overlap it by w / 100.
    std::vector<float> anchors;
    for (const float width : {100.0F, 50.0F, 45.0F, 40.0F, 39.0F}) {
        anchors.insert(anchors.end(), {0, 0, width, 100});
    }
    const std::vector<LabelledBox> boxes{object(0, 0, 100, 100)};
    CHECK(match(anchors, boxes, kSsdRule) == Matches{0, 0, -1, -1, -1});
    CHECK(match(anchors, boxes, kRetinanetRule) == Matches{0, 0, -2, -2, -1});
}

TEST_CASE("an object's best anchors are for it however little they overlap it") {
    // Overlaps of the object 2 x 2: 4 / 100 by the first and the third, 4 / 110 by the second, none
    // by the last.
    const std::vector<float> anchors{0, 0, 10, 10, 0, 0, 11, 10, -1, -1, 9, 9, 50, 50, 60, 60};
    CHECK(match(anchors, {object(4, 4, 6, 6)}, kSsdRule) == Matches{0, -1, 0, -1});
    CHECK(match(anchors, {object(4, 4, 6, 6)}, kRetinanetRule) == Matches{0, -1, 0, -1});
    // An object that no anchor touches has none, rather than all of those that tie at nothing.
    CHECK(match(anchors, {object(30, 30, 40, 40)}, kSsdRule) == Matches{-1, -1, -1, -1});
}

TEST_CASE("an anchor that is the best of two objects is for the later one") {
    // The first anchor overlaps the objects by 1 and .4, the second by .8 and .5.
    const std::vector<float> anchors{0, 0, 10, 10, 0, 0, 10, 8};
    const LabelledBox large = object(0, 0, 10, 10), small = object(0, 0, 10, 4);
    CHECK(match(anchors, {large, small}, kSsdRule) == Matches{0, 1});
    const std::vector<float> first(anchors.begin(), anchors.begin() + 4);
    CHECK(match(first, {large, small}, kSsdRule) == Matches{1});
    CHECK(match(first, {small, large}, kSsdRule) == Matches{1});
}

TEST_CASE("of objects that an anchor overlaps as much the first counts") {
    // Each object has an anchor of its own; the third anchor overlaps both by .8.
    const std::vector<float> anchors{0, 0, 10, 8, 0, 2, 10, 10, 0, 0, 10, 10};
    CHECK(match(anchors, {object(0, 0, 10, 8), object(0, 2, 10, 10)}, kSsdRule) ==
          Matches{0, 1, 0});
    CHECK(match(anchors, {object(0, 2, 10, 10), object(0, 0, 10, 8)}, kSsdRule) ==
          Matches{1, 0, 0});
}

TEST_CASE("what is no object is passed over, and places count it") {
    const std::vector<float> anchors{0, 0, 10, 10, 20, 20, 30, 30};
    LabelledBox none;
    LabelledBox unlabelled = object(0, 0, 10, 10);
    unlabelled.class_index = -1;
    CHECK(match(anchors, {}, kSsdRule) == Matches{-1, -1});
    CHECK(match(anchors, {none, unlabelled}, kRetinanetRule) == Matches{-1, -1});
    CHECK(match(anchors, {unlabelled, none, object(20, 20, 30, 30)}, kSsdRule) == Matches{-1, 2});
    // Neither is one without an extent, which has no logarithm of its sides.
    CHECK(match(anchors, {object(5, 5, 5, 8)}, kSsdRule) == Matches{-1, -1});
    // A difficult object is one like others.
    CHECK(match(anchors, {object(20, 20, 30, 30, kDifficult)}, kSsdRule) == Matches{-1, 0});
}

TEST_CASE("background that lies in a crowd by half or more is neither") {
    // The crowd covers the left: of the anchors all, half, 50 of 101 columns, and none.
    const std::vector<float> anchors{0, 0, 40, 100, 0, 0, 100, 100, 0, 0, 101, 100, 60, 0, 90, 100};
    for (const AnchorRule& rule : {kSsdRule, kRetinanetRule}) {
        CHECK(match(anchors, {object(0, 0, 50, 100, kCrowd)}, rule) == Matches{-2, -2, -1, -1});
        CHECK(match(anchors, {object(0, 0, 50, 100, kCrowd | kDifficult)}, rule) ==
              Matches{-2, -2, -1, -1});
        // Objects in a crowd, before or behind it, are found all the same.
        const LabelledBox crowd = object(0, 0, 50, 100, kCrowd), inside = object(0, 0, 40, 100);
        CHECK(match(anchors, {crowd, inside}, rule) == Matches{1, -2, -1, -1});
        CHECK(match(anchors, {inside, crowd}, rule) == Matches{0, -2, -1, -1});
    }
}

TEST_CASE("many anchors and boxes are matched as by the rule") {
    for (std::uint32_t seed = 1; seed <= 12; ++seed) {
        std::mt19937 random(seed);
        const auto draw = [&](unsigned below) { return static_cast<float>(random() % below); };
        const auto corners = [&](unsigned side) {
            const float x = draw(100) - 10, y = draw(100) - 10;
            return std::array<float, 4>{x, y, x + 1 + draw(side), y + 1 + draw(side)};
        };
        std::vector<float> anchors;
        for (std::size_t i = 0; i < 1 + 97 * seed; ++i) {
            const auto anchor = corners(40);
            anchors.insert(anchors.end(), anchor.begin(), anchor.end());
        }
        std::vector<LabelledBox> boxes;
        for (std::size_t i = 0; i < seed * seed; ++i) {
            const auto box = corners(seed % 2 == 0 ? 50 : 20);
            const std::int32_t flags = random() % 8 == 0 ? kCrowd : 0;
            boxes.push_back(object(box[0], box[1], box[2], box[3], flags));
            if (random() % 8 == 0) boxes.back().class_index = -1;
        }
        CAPTURE(seed);
        for (const AnchorRule& rule : {kSsdRule, kRetinanetRule, AnchorRule{0.7, 0.3}}) {
            CHECK(match(anchors, boxes, rule) == by_the_rule(anchors, boxes, rule));
        }
    }
}

TEST_CASE("corners that are no anchors are refused") {
    std::vector<std::int32_t> matches(2);
    const std::vector<float> anchors(4);
    CHECK_THROWS_AS(match_anchors(anchors, {}, kSsdRule, matches), Error);
}
