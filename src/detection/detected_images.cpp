#include "src/detection/detected_images.hpp"

namespace thresher {

void DetectedImages::add(std::int64_t id, std::span<const LabelledBox> boxes,
                         const ImageDetections& found, double scale_x, double scale_y) {
    const auto scaled = [&](double x0, double y0, double x1, double y1) {
        return Box::of_corners(x0 * scale_x, y0 * scale_y, x1 * scale_x, y1 * scale_y);
    };
    const auto image = std::ssize(ids_);
    ids_.push_back(id);
    for (const LabelledBox& box : boxes) {
        if (!box.is_object()) break;
        boxes_.push_back(scaled(box.x0, box.y0, box.x1, box.y1));
        classes_.push_back(box.class_index);
        flags_.push_back(static_cast<std::uint8_t>(box.flags));
        areas_.push_back(box.area > 0.0F ? double{box.area} : boxes_.back().area);
    }
    offsets_.push_back(std::ssize(boxes_));
    for (std::size_t i = 0; i < found.scores.size(); ++i) {
        const float* corner = found.corners.data() + 4 * i;
        found_images_.push_back(image);
        found_.push_back(scaled(corner[0], corner[1], corner[2], corner[3]));
        found_classes_.push_back(found.classes[i]);
        scores_.push_back(found.scores[i]);
    }
}

}  // namespace thresher
