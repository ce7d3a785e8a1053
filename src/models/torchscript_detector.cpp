#include "src/models/torchscript_detector.hpp"

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <fmt/ranges.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "src/base/check.hpp"
#include "src/detection/nms.hpp"
#include "src/models/tensors.hpp"

namespace thresher {
namespace {

const char* const kWanted =
    "a detector returns a list with a dict of \"boxes\" [M, 4], \"scores\" [M] and \"labels\" [M] "
    "for each image, or a pair whose second part is that list";

/// One image's detections, on the host.
struct Found {
    at::Tensor boxes, scores, labels;

    std::int64_t count() const { return scores.size(0); }
};

at::Tensor entry_of(const c10::Dict<c10::IValue, c10::IValue>& dict, const char* key,
                    at::ScalarType type, const std::string& path) {
    const auto found = dict.find(key);
    THRESHER_CHECK(found != dict.end() && found->value().isTensor(),
                   "{}: forward returns a dict without the tensor \"{}\"; {}", path, key, kWanted);
    return found->value().toTensor().detach().to(at::kCPU, type).contiguous();
}

Found read_image(const c10::IValue& image, const std::string& path) {
    THRESHER_CHECK(image.isGenericDict(), "{}: forward returns a list of {}; {}", path,
                   image.tagKind(), kWanted);
    const auto dict = image.toGenericDict();
    const Found found{entry_of(dict, "boxes", at::kFloat, path),
                      entry_of(dict, "scores", at::kFloat, path),
                      entry_of(dict, "labels", at::kLong, path)};
    const auto sizes = [](const at::Tensor& tensor) { return fmt::join(tensor.sizes(), ", "); };
    THRESHER_CHECK(found.scores.dim() == 1 && found.labels.sizes() == found.scores.sizes() &&
                       found.boxes.dim() == 2 && found.boxes.size(0) == found.count() &&
                       found.boxes.size(1) == 4,
                   "{}: boxes are [{}], scores [{}], labels [{}] of one image; {}", path,
                   sizes(found.boxes), sizes(found.scores), sizes(found.labels), kWanted);
    return found;
}

/// Writes rows of logits [M, classes + 1] that hold kNothing.
void write_logits(const Found& found, std::int64_t classes, const std::string& path,
                  float* logits) {
    const float* const scores = found.scores.const_data_ptr<float>();
    const std::int64_t* const labels = found.labels.const_data_ptr<std::int64_t>();
    for (std::int64_t i = 0; i < found.count(); ++i, logits += classes + 1) {
        THRESHER_CHECK(labels[i] >= 1 && labels[i] <= classes,
                       "{}: a box has label {}; allowed: 1 to {}, as the pool has {} classes and 0 "
                       "is the background",
                       path, labels[i], classes, classes);
        THRESHER_CHECK(!(scores[i] < 0.0F || scores[i] > 1.0F),
                       "{}: a box has a score of {}; allowed: probabilities, 0 to 1", path,
                       scores[i]);
        const double score = scores[i];
        logits[labels[i] - 1] = std::max(static_cast<float>(std::log(score)), kNothing);
        logits[classes] = std::max(static_cast<float>(std::log1p(-score)), kNothing);
        if (std::isnan(score)) logits[classes] = scores[i];
    }
}

/// torchvision's operator: the places of what stays of boxes [N, 4], by falling score.
at::Tensor nms(const at::Tensor& boxes, const at::Tensor& scores, double threshold) {
    const at::Tensor corners = boxes.detach().to(at::kCPU, at::kFloat).contiguous();
    const at::Tensor values = scores.detach().to(at::kCPU, at::kFloat).contiguous();
    const auto count = static_cast<std::size_t>(values.numel());
    const std::vector<std::int64_t> groups(count, 0);
    std::vector<std::int64_t> kept =
        batched_nms({corners.const_data_ptr<float>(), 4 * count},
                    {values.const_data_ptr<float>(), count}, groups, threshold);
    return at::from_blob(kept.data(), {std::ssize(kept)}, at::TensorOptions(at::kLong))
        .to(boxes.device(), at::kLong, false, true);
}

}  // namespace

bool takes_images(const torch::jit::Module& module) {
    const auto forward = module.find_method("forward");
    if (!forward) return false;
    const auto& arguments = forward->function().getSchema().arguments();
    constexpr std::size_t kFirst = 1;  // after self
    return arguments.size() > kFirst &&
           arguments[kFirst].type()->isSubtypeOf(*c10::ListType::ofTensors());
}

c10::IValue as_images(const at::Tensor& inputs) {
    return c10::IValue(c10::List<at::Tensor>(inputs.unbind(0)));
}

ModelOutputs read_detections(const c10::IValue& returned, std::int64_t images, std::int64_t classes,
                             const std::string& path) {
    c10::IValue list = returned;
    if (list.isTuple() && list.toTupleRef().size() == 2) list = list.toTupleRef().elements()[1];
    THRESHER_CHECK(list.isList(), "{}: forward returns a {}; {}", path, returned.tagKind(),
                   kWanted);
    const auto by_image = list.toListRef();
    THRESHER_CHECK(std::ssize(by_image) == images, "{}: {} images gave {} lists of boxes; {}", path,
                   images, by_image.size(), kWanted);
    std::vector<Found> found;
    std::int64_t most = 1;
    for (const c10::IValue& image : by_image) {
        most = std::max(most, found.emplace_back(read_image(image, path)).count());
    }
    ModelOutputs outputs;
    outputs.logits = at::full({images, most, classes + 1}, kNothing, at::TensorOptions(at::kFloat));
    outputs.logits.select(2, classes).zero_();
    outputs.boxes = at::zeros({images, most, 4}, at::TensorOptions(at::kFloat));
    for (std::int64_t i = 0; i < images; ++i) {
        const Found& own = found[static_cast<std::size_t>(i)];
        if (own.count() == 0) continue;
        write_logits(own, classes, path, outputs.logits[i].data_ptr<float>());
        outputs.boxes[i].narrow(0, 0, own.count()).copy_(own.boxes);
    }
    return outputs;
}

void define_torchvision_nms() {
    static const bool defined = [] {
        if (c10::Dispatcher::singleton().findSchema({"torchvision::nms", ""})) return false;
        static torch::Library library(torch::Library::FRAGMENT, "torchvision", std::nullopt,
                                      __FILE__, __LINE__);
        library.def("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor");
        library.impl("nms", torch::dispatch(c10::DispatchKey::CompositeExplicitAutograd, nms));
        return true;
    }();
    static_cast<void>(defined);
}

}  // namespace thresher
