#include "src/environments/images/image_points.hpp"

#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <span>
#include <vector>

#include "src/models/input_reader.hpp"
#include "src/models/tensors.hpp"

namespace thresher {
namespace {

constexpr std::int64_t kMicroBatch = 32;

}  // namespace

std::int64_t main_class(std::span<const std::int64_t> of_boxes, std::int64_t classes) {
    if (of_boxes.empty()) return classes;
    std::vector<std::int64_t> counts(static_cast<std::size_t>(classes), 0);
    for (const std::int64_t c : of_boxes) ++counts[static_cast<std::size_t>(c)];
    return std::max_element(counts.begin(), counts.end()) - counts.begin();
}

void add_points(const MemoryPool& images, Model& detector, Points& points) {
    const c10::InferenceMode inference;
    const ModelSpec& spec = detector.spec();
    const InputReader reader(spec, images.info.element_type, images.info.scale, "cpu");
    for (std::int64_t begin = 0; begin < images.info.rows; begin += kMicroBatch) {
        const RowRange rows{begin, std::min(images.info.rows, begin + kMicroBatch)};
        const at::Tensor embedding =
            detector.forward(reader.read(images.inputs, rows)).embedding.contiguous();
        const float* values = embedding.const_data_ptr<float>();
        points.features.insert(points.features.end(), values, values + embedding.numel());
    }
    const auto most = static_cast<std::size_t>(images.info.most_boxes);
    for (std::int64_t row = 0; row < images.info.rows; ++row) {
        std::vector<std::int64_t> of_boxes;
        for (const LabelledBox& box :
             std::span(images.boxes).subspan(static_cast<std::size_t>(row) * most, most)) {
            if (box.is_object()) of_boxes.push_back(box.class_index);
        }
        points.targets.push_back(static_cast<std::int32_t>(main_class(of_boxes, spec.classes)));
    }
    points.rows += images.info.rows;
}

}  // namespace thresher
