#include "src/detection/detected_images.hpp"

#include <algorithm>

#include "src/base/agreement.hpp"

namespace thresher {

namespace {

constexpr std::int64_t kPiece = 1 << 16;  ///< detections, 4.5 MiB

}  // namespace

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

void stream_to_root(const DetectedImages& images, Collective& collective,
                    const std::function<void(std::span<const FoundObject>)>& take) {
    const TruthBoxes truth = images.truth();
    const Detections found = images.detections();
    const std::int64_t own[] = {std::ssize(found.boxes)};
    const std::vector<std::int64_t> counts = collective.all_gather_v<std::int64_t>(own).values;
    for (int rank = 0; rank < collective.size(); ++rank) {
        const std::int64_t count = counts[static_cast<std::size_t>(rank)];
        for (std::int64_t begin = 0; begin < count; begin += kPiece) {
            std::vector<FoundObject> piece;
            const std::int64_t end =
                rank == collective.rank() ? std::min(count, begin + kPiece) : begin;
            for (std::int64_t d = begin; d < end; ++d) {
                const auto i = static_cast<std::size_t>(d);
                piece.push_back({truth.image_ids[static_cast<std::size_t>(found.images[i])],
                                 found.classes[i], found.boxes[i], found.scores[i]});
            }
            const auto gathered = collective.gather_v<FoundObject>(piece);
            agree(collective, [&] {
                if (collective.is_root()) take(gathered.values);
            });
        }
    }
}

}  // namespace thresher
