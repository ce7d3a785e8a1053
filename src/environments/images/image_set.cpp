#include "src/environments/images/image_set.hpp"

#include <ATen/ops/cat.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/index_select.h>
#include <c10/core/GradMode.h>

#include <algorithm>

#include "src/environments/images/detection_learner.hpp"
#include "src/models/detector/detector_spec.hpp"
#include "src/models/detector/trunk.hpp"
#include "src/models/input_reader.hpp"

namespace thresher {
namespace {

/// The boxes of mirrored images.
std::vector<LabelledBox> mirrored(std::vector<LabelledBox> boxes, double width) {
    for (LabelledBox& box : boxes) {
        if (!box.is_object()) continue;
        const float x0 = box.x0;
        box.x0 = static_cast<float>(width) - box.x1;
        box.x1 = static_cast<float>(width) - x0;
    }
    return boxes;
}

/// With more places for boxes in a row.
std::vector<LabelledBox> widened(const std::vector<LabelledBox>& boxes, std::int64_t rows,
                                 std::int64_t most) {
    std::vector<LabelledBox> wide(static_cast<std::size_t>(rows * most));
    const std::int64_t width = rows == 0 ? 0 : std::ssize(boxes) / rows;
    for (std::int64_t row = 0; row < rows; ++row) {
        std::copy_n(boxes.begin() + row * width, width, wide.begin() + row * most);
    }
    return wide;
}

}  // namespace

at::Tensor tensor_of(const std::vector<std::int64_t>& values) {
    return at::from_blob(const_cast<std::int64_t*>(values.data()), {std::ssize(values)}, at::kLong);
}

Features rows_of(const Features& all, const at::Tensor& rows) {
    Features some;
    for (const at::Tensor& level : all) {
        some.push_back(at::index_select(level, 0, rows).contiguous(at::MemoryFormat::ChannelsLast));
    }
    return some;
}

std::vector<LabelledBox> ImageSet::boxes_of(const std::vector<std::int64_t>& some) const {
    std::vector<LabelledBox> chosen;
    for (const std::int64_t row : some) {
        const auto first = boxes.begin() + row * most_boxes;
        chosen.insert(chosen.end(), first, first + most_boxes);
    }
    return chosen;
}

void ImageSet::append(const ImageSet& more) {
    const std::int64_t most = std::max(most_boxes, more.most_boxes);
    boxes = widened(boxes, rows, most);
    const std::vector<LabelledBox> others = widened(more.boxes, more.rows, most);
    boxes.insert(boxes.end(), others.begin(), others.end());
    for (std::size_t l = 0; l < features.size(); ++l) {
        features[l] = at::cat({features[l], more.features[l]});
    }
    most_boxes = most;
    rows += more.rows;
}

struct ImageReader::Body {
    const ModelSpec& spec;
    Builder builder{std::nullopt};
    std::unique_ptr<Trunk> trunk{};  ///< null where images are kept

    Features features_of(const at::Tensor& inputs) const {
        if (!trunk) return {inputs};
        const c10::NoGradGuard no_grad;
        std::vector<Features> parts;
        Pass pass;
        for (std::int64_t begin = 0; begin < inputs.size(0); begin += kProxyMicroBatch) {
            const std::int64_t count = std::min(kProxyMicroBatch, inputs.size(0) - begin);
            parts.push_back((*trunk)(inputs.narrow(0, begin, count), pass));
        }
        Features all;
        for (std::size_t l = 0; !parts.empty() && l < parts.front().size(); ++l) {
            std::vector<at::Tensor> of_level;
            for (const Features& part : parts) of_level.push_back(part[l]);
            all.push_back(at::cat(of_level));
        }
        return all;
    }
};

ImageReader::ImageReader(const Model& detector, bool whole) : body_(new Body{detector.spec()}) {
    if (whole) return;
    body_->builder.scope = "trunk.";
    body_->trunk = make_trunk(body_->spec, body_->builder);
    copy_tensors(detector, body_->builder);
}

ImageReader::~ImageReader() = default;

ImageSet ImageReader::read(const MemoryPool& pool, bool mirror) const {
    ImageSet images{pool.info.rows, pool.info.most_boxes, {}, pool.boxes};
    if (images.rows == 0) return images;
    const ModelSpec& spec = body_->spec;
    at::Tensor inputs =
        InputReader(spec, pool.info.element_type, pool.info.scale, "cpu").read(pool.inputs);
    if (mirror) {
        inputs = inputs.flip({3}).contiguous(at::MemoryFormat::ChannelsLast);
        images.boxes = mirrored(images.boxes, static_cast<double>(spec.input_shape[2]));
    }
    images.features = body_->features_of(inputs);
    return images;
}

std::vector<std::int64_t> mirrored_anchors(const ModelSpec& spec) {
    std::vector<std::int64_t> mirror;
    const std::vector<FeatureLevel> levels = detector_levels(spec);
    std::int64_t first = 0;
    for (std::size_t l = 0; l < levels.size(); ++l) {
        const std::int64_t width = levels[l].width, shapes = std::ssize(spec.detector->anchors[l]);
        for (std::int64_t y = 0; y < levels[l].height; ++y) {
            for (std::int64_t x = 0; x < width; ++x) {
                for (std::int64_t s = 0; s < shapes; ++s) {
                    mirror.push_back(first + (y * width + width - 1 - x) * shapes + s);
                }
            }
        }
        first += levels[l].height * width * shapes;
    }
    return mirror;
}

}  // namespace thresher
