#include "src/detection/detect.hpp"

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "src/base/check.hpp"
#include "src/base/thread_team.hpp"
#include "src/detection/box_code.hpp"
#include "src/detection/nms.hpp"
#include "src/models/anchors.hpp"
#include "src/models/detector/detector_spec.hpp"
#include "src/models/tensors.hpp"
#include "src/models/torchscript/torchscript.hpp"
#include "src/selection/ordered_key.hpp"

namespace thresher {

namespace {

/// Of a user's detector there are none: its boxes are corners already.
std::vector<float> anchors_of(const ModelSpec& spec) {
    return detector_kind(spec) == DetectorKind::user ? std::vector<float>{} : anchor_boxes(spec);
}

std::vector<std::int64_t> level_sizes(const ModelSpec& spec) {
    std::vector<std::int64_t> sizes;
    if (detector_kind(spec) == DetectorKind::user) return sizes;
    for (const FeatureLevel& level : detector_levels(spec)) {
        const auto& shapes = spec.detector->anchors[sizes.size()];
        sizes.push_back(level.height * level.width * std::ssize(shapes));
    }
    return sizes;
}

std::span<const float> numbers_of(const at::Tensor& host, std::int64_t image) {
    const std::int64_t count = host.size(1) * host.size(2);
    return {host.const_data_ptr<float>() + image * count, static_cast<std::size_t>(count)};
}

}  // namespace

/// What may become detections of one image: a score each, and a place, anchor x classes + class.
struct Detect::Candidates {
    struct Key {
        std::uint64_t value;  ///< rises as the score falls, and with the place where scores tie

        Key(float score, std::size_t place)
            : value(std::uint64_t{~ordered_key(score)} << 32 | place) {}
        float score() const { return from_ordered_key(~static_cast<std::uint32_t>(value >> 32)); }
        std::size_t place() const { return static_cast<std::uint32_t>(value); }
        bool operator<(const Key& other) const { return value < other.value; }
    };

    std::vector<Key> keys;

    /// Of those from place `begin` in `keys` on, the best stay.
    void keep_best(std::size_t begin, std::int64_t most) {
        if (std::ssize(keys) - static_cast<std::int64_t>(begin) <= most) return;
        const auto end = keys.begin() + static_cast<std::int64_t>(begin) + most;
        std::nth_element(keys.begin() + static_cast<std::int64_t>(begin), end, keys.end());
        keys.erase(end, keys.end());
    }
};

DetectorKind detector_kind(const ModelSpec& spec) {
    if (spec.detector && spec.name == "ssd") return DetectorKind::ssd;
    if (spec.detector && spec.name == "retinanet") return DetectorKind::retinanet;
    THRESHER_CHECK(
        spec.detector && spec.name == kTorchScript,
        "model {} is no detector; allowed: ssd, retinanet, or a detector's TorchScript file",
        spec.name);
    return DetectorKind::user;
}

DetectOptions detect_options(const ModelSpec& spec) {
    switch (detector_kind(spec)) {
        case DetectorKind::ssd:
            return {0.01, 0.45, 400, 200};
        case DetectorKind::retinanet:
            return {0.05, 0.5, 1000, 300};
        case DetectorKind::user:
            break;  // it has looked at scores and overlaps itself
    }
    return {0.0, 1.0, std::numeric_limits<std::int64_t>::max(), 300};
}

Detect::Detect(const ModelSpec& spec, const DetectOptions& options)
    : Detect(spec, options, anchors_of(spec), level_sizes(spec)) {}

Detect::Detect(const ModelSpec& spec, const DetectOptions& options, std::vector<float> anchors,
               std::vector<std::int64_t> levels)
    : spec_(spec),
      kind_(detector_kind(spec)),
      options_(options),
      anchors_(std::move(anchors)),
      levels_(std::move(levels)) {
    THRESHER_CHECK(4 * std::accumulate(levels_.begin(), levels_.end(), std::int64_t{0}) ==
                       std::ssize(anchors_),
                   "{} corners are not those of the anchors of levels of {}", anchors_.size(),
                   fmt::join(levels_, ", "));
    THRESHER_CHECK(options.candidates > 0 && options.most > 0,
                   "detections are to be {} of {} candidates; allowed: 1 and more", options.most,
                   options.candidates);
    THRESHER_CHECK(
        std::ssize(anchors_) / 4 * spec.classes <= std::numeric_limits<std::uint32_t>::max(),
        "{} anchors for {} classes are more than 2^32 - 1", anchors_.size() / 4, spec.classes);
}

std::int64_t Detect::columns() const {
    return spec_.classes + (kind_ == DetectorKind::retinanet ? 0 : 1);
}

std::vector<ImageDetections> Detect::operator()(const ModelOutputs& outputs) const {
    const std::int64_t count =
        kind_ == DetectorKind::user ? outputs.boxes.size(1) : std::ssize(anchors_) / 4;
    const auto host = [&](const at::Tensor& tensor, std::int64_t wanted) {
        THRESHER_CHECK(tensor.dim() == 3 && tensor.size(1) == count && tensor.size(2) == wanted,
                       "a detector's outputs are [{}]; allowed: [n, {}, {}]",
                       fmt::join(tensor.sizes(), ", "), count, wanted);
        return tensor.detach().to(at::kCPU, at::kFloat).contiguous();
    };
    const at::Tensor logits = host(outputs.logits, columns()), codes = host(outputs.boxes, 4);
    THRESHER_CHECK(logits.size(0) == codes.size(0), "{} images have logits, {} codes",
                   logits.size(0), codes.size(0));
    std::vector<ImageDetections> images(static_cast<std::size_t>(logits.size(0)));
    parallel_for(logits.size(0), 1, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t image = begin; image < end; ++image) {
            images[static_cast<std::size_t>(image)] =
                detect(numbers_of(logits, image), numbers_of(codes, image));
        }
    });
    return images;
}

std::array<float, 4> Detect::box_at(std::size_t anchor, std::span<const float> codes) const {
    std::array<float, 4> box{};
    const std::span<const float, 4> code(codes.data() + 4 * anchor, 4);
    if (kind_ == DetectorKind::user) {
        std::copy(code.begin(), code.end(), box.begin());
        return box;
    }
    decode_box(std::span<const float, 4>(anchors_.data() + 4 * anchor, 4), code,
               kind_ == DetectorKind::ssd ? kSsdCode : kRetinanetCode, box);
    return box;
}

ImageDetections Detect::detect(std::span<const float> logits, std::span<const float> codes) const {
    Candidates candidates;
    if (kind_ == DetectorKind::retinanet) {
        find_retinanet(logits, candidates);
    } else {
        find_softmax(logits, candidates);
    }
    // Equal scores count by place from here on.
    std::sort(candidates.keys.begin(), candidates.keys.end(),
              [](const auto& a, const auto& b) { return a.place() < b.place(); });

    const auto height = static_cast<float>(spec_.input_shape[1]);
    const auto width = static_cast<float>(spec_.input_shape[2]);
    const auto classes = static_cast<std::size_t>(spec_.classes);
    ImageDetections all;
    for (const Candidates::Key& key : candidates.keys) {
        const std::size_t anchor = key.place() / classes;
        std::array<float, 4> box = box_at(anchor, codes);
        for (std::size_t side = 0; side < 4; ++side) {
            box[side] = std::clamp(box[side], 0.0F, side % 2 == 0 ? width : height);
        }
        if (!(box[2] > box[0] && box[3] > box[1])) continue;
        all.corners.insert(all.corners.end(), box.begin(), box.end());
        all.scores.push_back(key.score());
        all.classes.push_back(static_cast<std::int64_t>(key.place() % classes));
        all.anchors.push_back(static_cast<std::int64_t>(anchor));
    }

    std::vector<std::int64_t> kept =
        batched_nms(all.corners, all.scores, all.classes, options_.overlap);
    if (std::ssize(kept) > options_.most) kept.resize(static_cast<std::size_t>(options_.most));
    ImageDetections best;
    for (const std::int64_t place : kept) {
        const auto i = static_cast<std::size_t>(place);
        const auto corners = std::span(all.corners).subspan(4 * i, 4);
        best.corners.insert(best.corners.end(), corners.begin(), corners.end());
        best.scores.push_back(all.scores[i]);
        best.classes.push_back(all.classes[i]);
        best.anchors.push_back(all.anchors[i]);
    }
    return best;
}

/// The best anchors of each class.
void Detect::find_softmax(std::span<const float> logits, Candidates& candidates) const {
    const auto classes = static_cast<std::size_t>(spec_.classes), columns = classes + 1;
    // What is this far below the largest logit has no higher probability than the threshold.
    const double lowest = std::log(std::max(options_.score_threshold, 0.0)) - 1e-6;
    std::vector<std::vector<Candidates::Key>> of_class(classes);
    for (std::size_t anchor = 0; anchor < logits.size() / columns; ++anchor) {
        const auto row = logits.subspan(anchor * columns, columns);
        const double largest = *std::max_element(row.begin(), row.end());
        double sum = 0.0;
        for (std::size_t c = 0; c < classes; ++c) {
            if (!(double{row[c]} - largest > lowest)) continue;
            if (sum == 0.0) {
                for (const float logit : row) sum += std::exp(double{logit} - largest);
            }
            const auto score = static_cast<float>(std::exp(double{row[c]} - largest) / sum);
            if (double{score} > options_.score_threshold) {
                of_class[c].emplace_back(score, anchor * classes + c);
            }
        }
    }
    for (const auto& keys : of_class) {
        const std::size_t begin = candidates.keys.size();
        candidates.keys.insert(candidates.keys.end(), keys.begin(), keys.end());
        candidates.keep_best(begin, options_.candidates);
    }
}

/// The best pairs of an anchor and a class of each level.
void Detect::find_retinanet(std::span<const float> logits, Candidates& candidates) const {
    const double threshold = options_.score_threshold;
    // What is below has no higher probability than the threshold.
    const double lowest = threshold > 0.0 ? std::log(threshold) - std::log1p(-threshold) - 1e-6
                                          : -std::numeric_limits<double>::infinity();
    std::size_t place = 0;
    for (const std::int64_t anchors : levels_) {
        const std::size_t begin = candidates.keys.size();
        const std::size_t end = place + static_cast<std::size_t>(anchors * spec_.classes);
        for (; place < end; ++place) {
            if (!(double{logits[place]} > lowest)) continue;
            const auto score = static_cast<float>(1.0 / (1.0 + std::exp(-double{logits[place]})));
            if (double{score} > threshold) candidates.keys.emplace_back(score, place);
        }
        candidates.keep_best(begin, options_.candidates);
    }
}

}  // namespace thresher
