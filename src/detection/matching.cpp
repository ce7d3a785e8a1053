#include "src/detection/matching.hpp"

#include <algorithm>

#include "src/base/narrow.hpp"
#include "src/base/thread_team.hpp"
#include "src/detection/groups.hpp"
#include "src/detection/overlap.hpp"

namespace thresher {

namespace {

constexpr std::int64_t kImagesAtOnce = 64;  ///< pieces that threads take
constexpr std::uint16_t kAllThresholds = (1U << kCocoThresholds) - 1;

/// Whether an object counts neither as found nor as missed, whatever its size.
bool is_set_aside(const TruthBoxes& truth, std::size_t object) {
    return !truth.flags.empty() && truth.flags[object] != 0;
}

bool is_crowd(const TruthBoxes& truth, std::size_t object) {
    return !truth.flags.empty() && (truth.flags[object] & kCrowd) != 0;
}

constexpr std::size_t kSizes = 4;  ///< all, small, medium, large

/// Bit s: an area is outside size range s. Both ends belong to a range, as in pycocotools.
unsigned outside_sizes(double area) {
    constexpr double kMost = 1e10, kSmall = 32.0 * 32.0, kMedium = 96.0 * 96.0;
    const auto outside = [&](double least, double most) {
        return area < least || area > most ? 1U : 0U;
    };
    return outside(0.0, kMost) | outside(0.0, kSmall) << 1 | outside(kSmall, kMedium) << 2 |
           outside(kMedium, kMost) << 3;
}

/// Matches by COCO's rule, the ten thresholds as bits of one number.
class CocoMatcher {
  public:
    CocoMatcher(const TruthBoxes& truth, const Detections& detections)
        : truth_(truth), detections_(detections) {
        // pycocotools lets an overlap of 1 less 1e-10 pass for 1.
        for (double& threshold : thresholds_) threshold = std::min(threshold, 1.0 - 1e-10);
    }

    void match(const Group& group, std::span<MatchedDetection> into) {
        objects_.clear();
        for (const std::int64_t place : group.objects) {
            const auto at = static_cast<std::size_t>(place);
            const double area = truth_.areas.empty() ? truth_.boxes[at].area : truth_.areas[at];
            const unsigned ignored = is_set_aside(truth_, at) ? 0xFU : outside_sizes(area);
            objects_.push_back({at, is_crowd(truth_, at), ignored, {}});
        }
        const std::size_t looked_at = std::min<std::size_t>(into.size(), kMostDetections);
        for (std::size_t i = 0; i < looked_at; ++i) {
            match(detections_.boxes[static_cast<std::size_t>(group.detections[i])], into[i]);
        }
    }

  private:
    struct Object {
        std::size_t place;
        bool is_crowd;
        unsigned ignored;                         ///< bit s: in size range s
        std::array<std::uint16_t, kSizes> taken;  ///< by threshold
    };

    struct Candidate {
        double overlap;
        std::size_t object;
        std::uint16_t reached;  ///< thresholds
    };

    void match(const Box& box, MatchedDetection& into) {
        find_candidates(box);
        const unsigned outside = outside_sizes(box.area);
        for (std::size_t size = 0; size < kSizes; ++size) {
            std::uint16_t free = kAllThresholds;  // thresholds under which it has no object yet
            const std::uint16_t hit = take(size, false, free);
            std::uint16_t ignored = take(size, true, free);
            if ((outside >> size & 1U) != 0) ignored |= free;
            into.hit[size] = hit;
            into.ignored[size] = ignored;
        }
    }

    /// The objects that reach the lowest threshold, by overlap; of equal ones the last comes
    /// first.
    void find_candidates(const Box& box) {
        candidates_.clear();
        for (std::size_t i = 0; i < objects_.size(); ++i) {
            const double overlap =
                coco_overlap(box, truth_.boxes[objects_[i].place], objects_[i].is_crowd);
            if (overlap < thresholds_[0]) continue;
            std::uint16_t reached = 0;
            for (std::size_t t = 0; t < thresholds_.size(); ++t) {
                if (overlap >= thresholds_[t]) reached |= static_cast<std::uint16_t>(1U << t);
            }
            candidates_.push_back({overlap, i, reached});
        }
        std::sort(candidates_.begin(), candidates_.end(),
                  [](const Candidate& a, const Candidate& b) {
                      return a.overlap != b.overlap ? a.overlap > b.overlap : a.object > b.object;
                  });
    }

    /// Takes, under each threshold still in `free`, the best object that is left among those that
    /// are ignored in this size range, or among the others; returns under which there was one.
    std::uint16_t take(std::size_t size, bool among_ignored, std::uint16_t& free) {
        std::uint16_t all = 0;
        for (const Candidate& candidate : candidates_) {
            Object& object = objects_[candidate.object];
            if (((object.ignored >> size & 1U) != 0) != among_ignored) continue;
            auto taken = static_cast<std::uint16_t>(free & candidate.reached);
            if (!object.is_crowd) taken = static_cast<std::uint16_t>(taken & ~object.taken[size]);
            object.taken[size] |= taken;
            free = static_cast<std::uint16_t>(free & ~taken);
            all |= taken;
        }
        return all;
    }

    const TruthBoxes& truth_;
    const Detections& detections_;
    std::array<double, kCocoThresholds> thresholds_ = coco_thresholds();
    std::vector<Object> objects_;
    std::vector<Candidate> candidates_;
};

/// Matches by the rule of the VOC kit.
class VocMatcher {
  public:
    VocMatcher(const TruthBoxes& truth, const Detections& detections, double threshold,
               double pixel)
        : truth_(truth), detections_(detections), threshold_(threshold), pixel_(pixel) {}

    void match(const Group& group, std::span<MatchedDetection> into) {
        found_.assign(group.objects.size(), false);
        for (std::size_t i = 0; i < into.size(); ++i) {
            const Box& box = detections_.boxes[static_cast<std::size_t>(group.detections[i])];
            std::size_t best = 0;
            double most = -1.0;
            for (std::size_t j = 0; j < group.objects.size(); ++j) {
                const auto at = static_cast<std::size_t>(group.objects[j]);
                const double overlap = voc_overlap(box, truth_.boxes[at], pixel_);
                if (overlap > most) {
                    most = overlap;
                    best = j;
                }
            }
            into[i].hit = into[i].ignored = {};
            if (most < threshold_) continue;
            if (is_set_aside(truth_, static_cast<std::size_t>(group.objects[best]))) {
                into[i].ignored[0] = 1;
            } else if (!found_[best]) {
                found_[best] = true;
                into[i].hit[0] = 1;
            }
        }
    }

  private:
    const TruthBoxes& truth_;
    const Detections& detections_;
    const double threshold_, pixel_;
    std::vector<bool> found_;
};

constexpr std::int32_t kLeftOut = -1;

/// Every group through a matcher that `make` makes, one for each piece of images.
template <class Make>
std::vector<MatchedDetection> match_groups(const TruthBoxes& truth, const Detections& detections,
                                           std::int64_t most, const Make& make) {
    const ByImage by_image(detections.images, truth.image_ids.size());
    std::vector<MatchedDetection> all(detections.images.size());
    parallel_for(
        std::ssize(truth.image_ids), kImagesAtOnce, [&](std::int64_t begin, std::int64_t end) {
            GroupCutter groups(truth, detections, by_image);
            auto matcher = make();
            for (std::int64_t i = begin; i < end; ++i) {
                const auto image = static_cast<std::size_t>(i);
                auto next = static_cast<std::size_t>(by_image.begins[image]);
                groups.cut(image, [&](const Group& group) {
                    const auto into = std::span(all).subspan(next, group.detections.size());
                    matcher.match(group, into);
                    next += into.size();
                    for (std::size_t j = 0; j < into.size(); ++j) {
                        into[j].score =
                            detections.scores[static_cast<std::size_t>(group.detections[j])];
                        into[j].image_id = group.image_id;
                        into[j].class_index = std::cmp_less(j, most)
                                                  ? static_cast<std::int32_t>(group.class_index)
                                                  : kLeftOut;
                        into[j].position = static_cast<std::int32_t>(j);
                    }
                });
            }
        });
    std::erase_if(
        all, [](const MatchedDetection& detection) { return detection.class_index == kLeftOut; });
    return all;
}

/// Objects that count, [classes, sizes]; in every size range where `by_size` is false.
std::vector<std::int64_t> count_objects(const TruthBoxes& truth, std::int64_t classes,
                                        bool by_size) {
    std::vector<std::int64_t> objects(static_cast<std::size_t>(classes) * kSizes, 0);
    for (std::size_t i = 0; i < truth.boxes.size(); ++i) {
        if (is_set_aside(truth, i)) continue;
        const double area = truth.areas.empty() ? truth.boxes[i].area : truth.areas[i];
        const unsigned outside = by_size ? outside_sizes(area) : 0;
        for (std::size_t size = 0; size < kSizes; ++size) {
            objects[static_cast<std::size_t>(truth.classes[i]) * kSizes + size] +=
                (outside >> size & 1U) == 0;
        }
    }
    return objects;
}

}  // namespace

std::array<double, kCocoThresholds> coco_thresholds() {
    std::array<double, kCocoThresholds> thresholds{};
    const double step = (0.95 - 0.5) / (kCocoThresholds - 1);
    for (int i = 0; i < kCocoThresholds; ++i) {
        thresholds[static_cast<std::size_t>(i)] = i * step + 0.5;
    }
    thresholds.back() = 0.95;
    return thresholds;
}

Matches match_coco(const TruthBoxes& truth, const Detections& detections, std::int64_t classes) {
    check_boxes(truth, detections, narrow<std::int32_t>(classes));
    return {match_groups(truth, detections, kMostDetections,
                         [&] { return CocoMatcher(truth, detections); }),
            count_objects(truth, classes, true)};
}

Matches match_voc(const TruthBoxes& truth, const Detections& detections, std::int64_t classes,
                  double threshold, double pixel) {
    check_boxes(truth, detections, narrow<std::int32_t>(classes));
    THRESHER_CHECK(threshold > 0.0 && threshold <= 1.0,
                   "the overlap threshold is {}; allowed: above 0, to 1", threshold);
    return {match_groups(truth, detections, INT64_MAX,
                         [&] { return VocMatcher(truth, detections, threshold, pixel); }),
            count_objects(truth, classes, false)};
}

}  // namespace thresher
