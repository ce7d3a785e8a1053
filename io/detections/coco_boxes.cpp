#include "io/detections/coco_boxes.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

namespace thresher::io {

namespace {

/// The place of `id` in `ids`, which are in order, or -1.
std::int64_t place_of(const std::vector<std::int64_t>& ids, std::int64_t id) {
    const auto found = std::lower_bound(ids.begin(), ids.end(), id);
    return found == ids.end() || *found != id ? -1 : found - ids.begin();
}

Box box_of(const CocoBox& box) { return Box::of_size(box.x, box.y, box.width, box.height); }

}  // namespace

CocoBoxes::CocoBoxes(const CocoInstances& instances, SetAside set_aside, int rank, int ranks) {
    for (const CocoImage& image : instances.images) all_image_ids_.push_back(image.id);
    std::sort(all_image_ids_.begin(), all_image_ids_.end());
    first_image_ = images() * rank / ranks;
    last_image_ = images() * (rank + 1) / ranks;
    std::vector<CocoCategory> categories = instances.categories;
    std::sort(categories.begin(), categories.end(),
              [](const CocoCategory& a, const CocoCategory& b) { return a.id < b.id; });
    for (CocoCategory& category : categories) {
        category_ids_.push_back(category.id);
        class_names_.push_back(std::move(category.name));
    }

    objects_ = std::ssize(instances.annotations);
    const auto own_image = [&](const CocoAnnotation& annotation) {
        const std::int64_t image = place_of(all_image_ids_, annotation.image_id);
        return image < first_image_ || image >= last_image_ ? -1 : image - first_image_;
    };
    offsets_.assign(static_cast<std::size_t>(last_image_ - first_image_) + 1, 0);
    for (const CocoAnnotation& annotation : instances.annotations) {
        const std::int64_t image = own_image(annotation);
        if (image >= 0) ++offsets_[static_cast<std::size_t>(image) + 1];
    }
    std::partial_sum(offsets_.begin(), offsets_.end(), offsets_.begin());
    const auto own = static_cast<std::size_t>(offsets_.back());
    truth_boxes_.resize(own);
    truth_classes_.resize(own);
    flags_.resize(own);
    areas_.resize(own);
    std::vector<std::int64_t> next(offsets_.begin(), offsets_.end() - 1);
    for (const CocoAnnotation& annotation : instances.annotations) {
        const std::int64_t image = own_image(annotation);
        if (image < 0) continue;
        const auto at = static_cast<std::size_t>(next[static_cast<std::size_t>(image)]++);
        truth_boxes_[at] = box_of(annotation.box);
        truth_classes_[at] = place_of(category_ids_, annotation.category_id);
        areas_[at] = annotation.area;
        const bool is_ignored = annotation.ignore && set_aside == SetAside::crowds_and_ignored;
        flags_[at] = static_cast<std::uint8_t>((annotation.crowd ? kCrowd : 0) |
                                               (is_ignored ? kDifficult : 0));
    }
}

void CocoBoxes::read_detections(const std::string& path, ProblemList& problems) {
    read_coco_results(path, problems, [&](std::int64_t position, const CocoDetection& detection) {
        const std::int64_t image = place_of(all_image_ids_, detection.image_id);
        const std::int64_t of = place_of(category_ids_, detection.category_id);
        if (image < 0) {
            problems.add(
                fmt::format("detections {} is of image {}, which the ground truth does not have",
                            position, detection.image_id));
        } else if (of < 0) {
            problems.add(
                fmt::format("detections {} is of category {}, which the ground truth does not have",
                            position, detection.category_id));
        } else {
            ++detections_read_;
            if (image < first_image_ || image >= last_image_) return;
            images_.push_back(image - first_image_);
            boxes_.push_back(box_of(detection.box));
            classes_.push_back(of);
            scores_.push_back(detection.score);
        }
    });
}

TruthBoxes CocoBoxes::truth() const {
    return {std::span(all_image_ids_)
                .subspan(static_cast<std::size_t>(first_image_),
                         static_cast<std::size_t>(last_image_ - first_image_)),
            offsets_,
            truth_boxes_,
            truth_classes_,
            flags_,
            areas_};
}

Detections CocoBoxes::detections() const { return {images_, boxes_, classes_, scores_}; }

}  // namespace thresher::io
