#include "src/models/torchscript/torchscript_detector.hpp"

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/full.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <fmt/ranges.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
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

const char* const kNameThem =
    "where labels stand for other classes, save their names with the model, as docs/detection.md "
    "shows";

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

/// Leaves out what is of classes that the pool does not have; labels become classes.
void keep_own(Found& found, const DetectorLabels& labels, const std::string& path) {
    std::vector<std::int64_t> kept, classes;
    for (std::int64_t i = 0; i < found.count(); ++i) {
        const std::int64_t label = found.labels.const_data_ptr<std::int64_t>()[i];
        const bool is_known =
            label >= 0 && label < std::ssize(labels.class_of) &&
            labels.class_of[static_cast<std::size_t>(label)] != DetectorLabels::kUnknown;
        THRESHER_CHECK(is_known,
                       "{}: a box has label {}; allowed: 1 to {}, for 0 is the background; {}",
                       path, label, std::ssize(labels.class_of) - 1, kNameThem);
        const std::int64_t own = labels.class_of[static_cast<std::size_t>(label)];
        if (own == DetectorLabels::kNone) continue;
        kept.push_back(i);
        classes.push_back(own);
    }
    const at::Tensor places = at::tensor(kept, at::kLong);
    found = {found.boxes.index_select(0, places), found.scores.index_select(0, places),
             at::tensor(classes, at::kLong)};
}

/// Writes rows of logits [M, classes + 1] that hold kNothing. A score that is no number stays none.
void write_logits(const Found& found, std::int64_t classes, const std::string& path,
                  float* logits) {
    const float* const scores = found.scores.const_data_ptr<float>();
    const std::int64_t* const own = found.labels.const_data_ptr<std::int64_t>();
    for (std::int64_t i = 0; i < found.count(); ++i, logits += classes + 1) {
        THRESHER_CHECK(!(scores[i] < 0.0F || scores[i] > 1.0F),
                       "{}: a box has a score of {}; allowed: probabilities, 0 to 1", path,
                       scores[i]);
        const double score = scores[i];
        logits[own[i]] = std::max(static_cast<float>(std::log(score)), kNothing);
        logits[classes] = std::max(static_cast<float>(std::log1p(-score)), kNothing);
    }
}

std::vector<std::string> names_in(const std::string& categories_json, const std::string& path) {
    try {
        return nlohmann::json::parse(categories_json).get<std::vector<std::string>>();
    } catch (const nlohmann::json::exception& error) {
        fail("{}: its {} is no list of names in JSON: {}", path, kCategoriesFile, error.what());
    }
}

/// torchvision's operator: the places of what stays of boxes [N, 4], by falling score.
at::Tensor nms(const at::Tensor& boxes, const at::Tensor& scores, double threshold) {
    THRESHER_CHECK(boxes.dim() == 2 && boxes.size(1) == 4 && scores.dim() == 1 &&
                       scores.size(0) == boxes.size(0),
                   "torchvision::nms was given boxes [{}] and scores [{}]; allowed: [N, 4] and [N]",
                   fmt::join(boxes.sizes(), ", "), fmt::join(scores.sizes(), ", "));
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

DetectorLabels DetectorLabels::of(const std::string& categories_json, const PoolInfo& pool,
                                  const std::string& path) {
    DetectorLabels labels{pool.classes, {}};
    if (categories_json.empty()) {
        THRESHER_CHECK(
            pool.classes > 0,
            "{}: label 1 of a detector is the pool's first class, but pool {} knows of no "
            "classes; give their number (--classes), or save the names of the labels with "
            "the model, as docs/detection.md shows",
            path, pool.path);
        labels.class_of.push_back(kUnknown);
        for (std::int64_t c = 0; c < pool.classes; ++c) labels.class_of.push_back(c);
        return labels;
    }
    const std::vector<std::string> names = names_in(categories_json, path);
    const auto& own = pool.class_names;
    std::int64_t named = 0;
    for (const std::string& name : names) {
        const auto place = std::find(own.begin(), own.end(), name);
        const bool is_class =
            own.empty() ? name != "__background__" && name != "N/A" : place != own.end();
        if (is_class) {
            labels.class_of.push_back(own.empty() ? named : std::distance(own.begin(), place));
            ++named;
        } else {
            labels.class_of.push_back(kNone);
        }
    }
    THRESHER_CHECK(
        named > 0,
        "{}: none of its {} categories ({}) is a class of pool {} ({}); they are compared "
        "letter by letter",
        path, names.size(), fmt::join(names, ", "), pool.path, fmt::join(own, ", "));
    if (own.empty()) labels.classes = std::max(named, pool.classes);
    return labels;
}

c10::IValue as_images(const at::Tensor& inputs) {
    return c10::IValue(c10::List<at::Tensor>(inputs.unbind(0)));
}

ModelOutputs read_detections(const c10::IValue& returned, std::int64_t images,
                             const DetectorLabels& labels, const std::string& path) {
    const std::int64_t classes = labels.classes;
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
        keep_own(found.emplace_back(read_image(image, path)), labels, path);
        most = std::max(most, found.back().count());
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
