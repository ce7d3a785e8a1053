// detection_functions SCENE.json: what the parts of a detector say of a scene, as JSON, so that
// test_detection_functions.py can compare with the same of others. A scene has the detector's name
// and classes, height and width, anchors, how many each level has, boxes by image (each x0 y0 x1 y1
// class), and logits and codes of all images.

#include <ATen/TensorOperators.h>
#include <ATen/ops/tensor.h>
#include <fmt/format.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "src/base/check.hpp"
#include "src/detection/anchor_matching.hpp"
#include "src/detection/box_code.hpp"
#include "src/detection/detect.hpp"
#include "src/models/tensors.hpp"
#include "src/training/loss/detection_loss.hpp"

using namespace thresher;
using nlohmann::json;

namespace {

struct Scene {
    ModelSpec spec;
    std::vector<float> anchors;
    std::vector<std::int64_t> levels;
    std::size_t images, most = 0;
    std::vector<LabelledBox> boxes;  ///< [images, most]
    at::Tensor logits, codes;

    explicit Scene(const json& scene) {
        spec.name = scene.at("name").get<std::string>();
        spec.classes = scene.at("classes");
        spec.input_shape = {3, scene.at("height"), scene.at("width")};
        spec.detector.emplace();
        scene.at("anchors").get_to(anchors);
        scene.at("levels").get_to(levels);
        const json& of_images = scene.at("boxes");
        images = of_images.size();
        for (const json& some : of_images) most = std::max(most, some.size());
        boxes.resize(images * most);
        for (std::size_t image = 0; image < images; ++image) {
            for (std::size_t i = 0; i < of_images[image].size(); ++i) {
                const json& box = of_images[image][i];
                boxes[image * most + i] = {box[0], box[1], box[2], box[3], 0.0F, box[4], 0};
            }
        }
        const auto tensor = [&](const char* name) {
            return at::tensor(scene.at(name).get<std::vector<float>>(), at::kFloat)
                .view({static_cast<std::int64_t>(images), std::ssize(anchors) / 4, -1})
                .requires_grad_();
        };
        logits = tensor("logits");
        codes = tensor("codes");
    }
};

std::vector<float> values_of(const at::Tensor& tensor) {
    const at::Tensor values = tensor.contiguous();
    return {values.const_data_ptr<float>(), values.const_data_ptr<float>() + values.numel()};
}

/// By image: the matches, and the codes of anchors that are for an object.
void add_matches(const Scene& scene, json& out) {
    const bool ssd = scene.spec.name == "ssd";
    for (std::size_t image = 0; image < scene.images; ++image) {
        const auto boxes = std::span(scene.boxes).subspan(image * scene.most, scene.most);
        std::vector<std::int32_t> matches(scene.anchors.size() / 4);
        match_anchors(scene.anchors, boxes, ssd ? kSsdRule : kRetinanetRule, matches);
        json codes = json::array();
        for (std::size_t i = 0; i < matches.size(); ++i) {
            if (matches[i] < 0) continue;
            const LabelledBox& box = boxes[static_cast<std::size_t>(matches[i])];
            const std::array<float, 4> corners{box.x0, box.y0, box.x1, box.y1};
            std::array<float, 4> code{};
            encode_box(std::span<const float, 4>(&scene.anchors[4 * i], 4), corners,
                       ssd ? kSsdCode : kRetinanetCode, code);
            codes.push_back(code);
        }
        out["matches"].push_back(matches);
        out["codes"].push_back(std::move(codes));
    }
}

void add_loss(const Scene& scene, json& out) {
    double hits = 0.0;
    const at::Tensor losses = DetectionLoss(scene.spec, scene.anchors)(
        {scene.logits, {}, scene.codes}, scene.boxes, &hits);
    losses.sum().backward();
    out["losses"] = values_of(losses);
    out["hits"] = hits;
    out["logit_gradients"] = values_of(scene.logits.grad());
    out["code_gradients"] = values_of(scene.codes.grad());
}

void add_detections(const Scene& scene, json& out) {
    const Detect detect(scene.spec, detect_options(scene.spec), scene.anchors, scene.levels);
    for (const ImageDetections& image : detect({scene.logits, {}, scene.codes})) {
        out["detections"].push_back(
            {{"corners", image.corners}, {"scores", image.scores}, {"classes", image.classes}});
    }
}

}  // namespace

int main(int argc, char** argv) {
    try {
        THRESHER_CHECK_AS(UsageError, argc == 2, "usage: detection_functions SCENE.json");
        std::ifstream file(argv[1]);
        THRESHER_CHECK(file.is_open(), "no file {}", argv[1]);
        const Scene scene(json::parse(file));
        json out;
        add_matches(scene, out);
        add_loss(scene, out);
        add_detections(scene, out);
        fmt::print("{}\n", out.dump());
        return 0;
    } catch (const std::exception& error) {
        fmt::print(stderr, "{}\n", error.what());
        return 1;
    }
}
