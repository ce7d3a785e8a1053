#pragma once

// Images cut into groups: the objects and detections of one class, between which matching happens.

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

#include "src/detection/boxes.hpp"

namespace thresher {

/// Objects and detections of one image and class: places in TruthBoxes and Detections, those of
/// detections in order of their score.
struct Group {
    std::int64_t image_id;
    std::int64_t class_index;
    std::span<const std::int64_t> objects, detections;
};

/// Detections by image: their places, and where each image's begin.
struct ByImage {
    std::vector<std::int64_t> places, begins;

    ByImage(std::span<const std::int64_t> images, std::size_t count)
        : places(images.size()), begins(count + 1, 0) {
        for (const std::int64_t image : images) ++begins[static_cast<std::size_t>(image) + 1];
        std::partial_sum(begins.begin(), begins.end(), begins.begin());
        std::vector<std::int64_t> next(begins.begin(), begins.end() - 1);
        for (std::size_t i = 0; i < images.size(); ++i) {
            const auto image = static_cast<std::size_t>(images[i]);
            places[static_cast<std::size_t>(next[image]++)] = static_cast<std::int64_t>(i);
        }
    }
};

/// The first of a sorted run of places, all of one class, and the rest.
inline std::span<const std::int64_t> take_class(std::span<const std::int64_t>& places,
                                                std::span<const std::int64_t> classes,
                                                std::int64_t wanted) {
    std::size_t count = 0;
    while (count < places.size() && classes[static_cast<std::size_t>(places[count])] == wanted) {
        ++count;
    }
    const auto taken = places.first(count);
    places = places.subspan(count);
    return taken;
}

/// Cuts images into groups.
class GroupCutter {
  public:
    GroupCutter(const TruthBoxes& truth, const Detections& detections, const ByImage& by_image)
        : truth_(truth), detections_(detections), by_image_(by_image) {}

    /// Calls visit(group) for the image's groups in order of their class.
    template <class Visit>
    void cut(std::size_t image, const Visit& visit) {
        sort_objects(image);
        sort_detections(image);
        std::span<const std::int64_t> objects(objects_), places(places_);
        const auto first_class = [](std::span<const std::int64_t> of,
                                    std::span<const std::int64_t> classes) {
            return of.empty() ? INT64_MAX : classes[static_cast<std::size_t>(of[0])];
        };
        while (!objects.empty() || !places.empty()) {
            Group group{truth_.image_ids[image],
                        std::min(first_class(objects, truth_.classes),
                                 first_class(places, detections_.classes)),
                        {},
                        {}};
            group.objects = take_class(objects, truth_.classes, group.class_index);
            group.detections = take_class(places, detections_.classes, group.class_index);
            visit(group);
        }
    }

  private:
    struct Key {
        std::int64_t class_index;
        double score;
        std::int64_t place;

        bool operator<(const Key& other) const {
            if (class_index != other.class_index) return class_index < other.class_index;
            return score != other.score ? score > other.score : place < other.place;
        }
    };

    static void fill(const std::vector<Key>& keys, std::vector<std::int64_t>& places) {
        places.clear();
        for (const Key& key : keys) places.push_back(key.place);
    }

    void sort_objects(std::size_t image) {
        keys_.clear();
        for (std::int64_t i = truth_.offsets[image]; i < truth_.offsets[image + 1]; ++i) {
            keys_.push_back({truth_.classes[static_cast<std::size_t>(i)], 0.0, i});
        }
        std::sort(keys_.begin(), keys_.end());
        fill(keys_, objects_);
    }

    void sort_detections(std::size_t image) {
        keys_.clear();
        for (std::int64_t i = by_image_.begins[image]; i < by_image_.begins[image + 1]; ++i) {
            const std::int64_t place = by_image_.places[static_cast<std::size_t>(i)];
            const auto at = static_cast<std::size_t>(place);
            keys_.push_back({detections_.classes[at], detections_.scores[at], place});
        }
        std::sort(keys_.begin(), keys_.end());
        fill(keys_, places_);
    }

    const TruthBoxes& truth_;
    const Detections& detections_;
    const ByImage& by_image_;
    std::vector<std::int64_t> objects_, places_;
    std::vector<Key> keys_;
};

}  // namespace thresher
