// A user's detector, as torchvision's are scripted.

#include "src/models/torchscript/torchscript_detector.hpp"

#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/tensor.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/jit/api/module.h>

#include <unistd.h>

#include <filesystem>

#include "src/base/check.hpp"
#include "src/base/thread_collective.hpp"
#include "src/models/input_reader.hpp"
#include "src/models/tensors.hpp"
#include "src/strategy/predictor.hpp"
#include "src/training/evaluation/evaluate_detector.hpp"
#include "tests/strategy/predict_all.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/toy_pool.hpp"

using namespace thresher;
using thresher::test::contains;
using thresher::test::predict_all;

namespace {

constexpr std::int64_t kHeight = 48, kWidth = 56, kClasses = 2, kMost = 5;

/// Finds as many boxes as the first pixel says, of the classes in turns, that overlap, the best one
/// last.
const std::string kFinds = R"(
def find(self, image: Tensor) -> Dict[str, Tensor]:
    at = torch.arange(int(image[0, 0, 0] * 255.0 + 0.5)) * 1.0
    boxes = torch.stack([4 * at, at + 1, 4 * at + 30, at + 40], 1)
    return {"boxes": boxes, "scores": (at + 1.0) / 10.0, "labels": at % 2 + 1}
)";
const std::string kList = R"(
def forward(self, images: List[Tensor]):
    found: List[Dict[str, Tensor]] = []
    for image in images:
        found.append(self.find(image))
    return found
)";
const std::string kPair = R"(
def forward(self, images: List[Tensor], targets: Optional[List[Dict[str, Tensor]]] = None):
    found: List[Dict[str, Tensor]] = []
    for image in images:
        found.append(self.find(image))
    losses: Dict[str, Tensor] = {}
    return losses, found
)";

/// Row r holds r % 6 of these objects.
MemoryPool object_pool(std::int64_t rows) {
    MemoryPool pool = byte_pool(rows, {1, kHeight, kWidth}, kClasses);
    pool.info.scale = 1.0 / 255.0;
    pool.info.mean = {0.5};
    pool.info.std = {0.25};
    pool.info.has_targets = false;
    pool.info.has_boxes = true;
    pool.info.most_boxes = kMost;
    pool.boxes.resize(static_cast<std::size_t>(rows * kMost));
    for (std::int64_t row = 0; row < rows; ++row) {
        const std::int64_t objects = row % (kMost + 1);
        pool.inputs[static_cast<std::size_t>(row * kHeight * kWidth)] =
            static_cast<std::byte>(objects);
        for (std::int64_t i = 0; i < objects; ++i) {
            const auto at = static_cast<float>(i);
            pool.boxes[static_cast<std::size_t>(row * kMost + i)] = {
                4 * at, at + 1, 4 * at + 30, at + 40, 0, static_cast<std::int32_t>(i % 2), 0};
        }
    }
    return pool;
}

std::unique_ptr<Model> load(const std::vector<std::string>& methods, const PoolInfo& pool,
                            const std::string& categories = "") {
    torch::jit::Module module("Detector");
    for (const std::string& method : methods) module.define(method);
    const std::string path = std::filesystem::temp_directory_path() /
                             ("thresher_detector_" + std::to_string(::getpid()) + ".pt");
    torch::jit::ExtraFilesMap extra;
    if (!categories.empty()) extra[kCategoriesFile] = categories;
    module.save(path, extra);
    auto model = load_model(path, pool);
    std::filesystem::remove(path);
    return model;
}

ModelOutputs run(const Model& model, const MemoryPool& pool) {
    const c10::NoGradGuard no_grad;
    const InputReader reader(model.spec(), pool.info.element_type, pool.info.scale, "cpu");
    return model.scoring_form()->forward(reader.read(pool.inputs));
}

/// One that returns this for an image is refused, and the error says so.
void check_refused(const std::string& returned, const std::string& says) {
    const MemoryPool pool = object_pool(1);
    const std::string forward =
        "def forward(self, images: List[Tensor]):\n    x = images[0][0]\n"
        "    return " +
        returned + "\n";
    CAPTURE(returned);
    CHECK_THROWS_WITH(load({forward}, pool.info), contains(says));
}

}  // namespace

TEST_CASE("what a scripted detector finds are detections, as they are and by falling score") {
    const MemoryPool pool = object_pool(4);
    for (const std::string& forward : {kList, kPair}) {
        const auto model = load({kFinds, forward}, pool.info);
        REQUIRE(model->spec().detector.has_value());
        CHECK(model->spec().classes == kClasses);
        const auto found = Detect(model->spec(), detect_options(model->spec()))(run(*model, pool));
        REQUIRE(found.size() == 4);
        CHECK(found[0].scores.empty());
        CHECK(found[1].classes == std::vector<std::int64_t>{0});
        CHECK(found[3].classes == std::vector<std::int64_t>{0, 1, 0});
        CHECK(found[3].corners == std::vector<float>{8, 3, 38, 42, 4, 2, 34, 41, 0, 1, 30, 40});
        for (std::size_t i = 0; i < 3; ++i) {
            CHECK(found[3].scores[i] == Approx(0.3 - 0.1 * static_cast<double>(i)));
        }
    }
}

TEST_CASE("a scripted detector that finds the truth has a precision of 1, and no loss") {
    const MemoryPool pool = object_pool(25);
    const auto model = load({kFinds, kList}, pool.info);
    const auto source = stream_blocks(pool, 0, 1);
    const DetectorEvaluation found = evaluate_detector(
        *model, *source, pool_metric(), detect_options(model->spec()), *make_local_collective());
    // Four times 0 to 5, and one without.
    CHECK(found.objects == 4 * 15);
    CHECK(found.detections == found.objects);
    CHECK(found.metric.mean_average_precision == 1.0);
    CHECK_FALSE(found.mean_loss.has_value());
}

TEST_CASE("a box of a scripted detector has its score as distribution") {
    const MemoryPool pool = object_pool(3);
    const auto model = load({kFinds, kList}, pool.info);
    const ModelOutputs outputs = run(*model, pool);
    REQUIRE(outputs.logits.sizes() == at::IntArrayRef({3, 2, kClasses + 1}));
    const auto log_probs = outputs.logits.exp();
    const auto at = [&](std::int64_t box, std::int64_t column) {
        return log_probs[2][box][column].item<double>();
    };
    CHECK(at(0, 0) == Approx(0.1));
    CHECK(at(0, 1) == 0.0);
    CHECK(at(0, 2) == Approx(0.9));
    CHECK(at(1, 1) == Approx(0.2));
    CHECK(log_probs[1][1][2].item<double>() == 1.0);  // no box: background
}

TEST_CASE("torchvision's nms is there for scripts that call it") {
    define_torchvision_nms();
    define_torchvision_nms();  // once is enough
    const auto nms = c10::Dispatcher::singleton()
                         .findSchemaOrThrow("torchvision::nms", "")
                         .typed<at::Tensor(const at::Tensor&, const at::Tensor&, double)>();
    // The second shares 80 of 120 pixels with the first, the third 20 of 180 and 40 of 160.
    const at::Tensor boxes =
        at::tensor({0, 0, 10, 10, 2, 0, 12, 10, 8, 0, 18, 10}, at::kFloat).view({3, 4});
    const at::Tensor scores = at::tensor({0.5, 0.9, 0.7}, at::kFloat);
    CHECK(nms.call(boxes, scores, 0.5).equal(at::tensor({1, 2}, at::kLong)));
    CHECK(nms.call(boxes, scores, 0.7).equal(at::tensor({1, 2, 0}, at::kLong)));
    CHECK(nms.call(boxes.narrow(0, 0, 0), scores.narrow(0, 0, 0), 0.5).numel() == 0);
    CHECK_THROWS_AS(nms.call(boxes.narrow(0, 0, 2), scores, 0.5), Error);
    CHECK_THROWS_AS(nms.call(boxes.narrow(1, 0, 2), scores, 0.5), Error);
}

TEST_CASE("a scripted detector that returns something else is refused, saying what") {
    const auto with = [](const std::string& scores, const std::string& labels) {
        const std::string one =
            "{\"boxes\": x[:1, :4], \"scores\": " + scores + ", \"labels\": " + labels + "}";
        return "[" + one + ", " + one + "]";
    };
    check_refused("x", "forward returns a Tensor; a detector returns a list");
    check_refused("[x, x]", "a list of Tensor");
    check_refused("[{\"boxes\": x}]", "2 images gave 1 lists of boxes");
    check_refused("[{\"boxes\": x}, {\"boxes\": x}]", "without the tensor \"scores\"");
    check_refused(with("x[0, :1]", "x[0, :2]"), "labels [2] of one image");
    check_refused(with("x[0, :1]", "torch.zeros([1])"), "label 0; allowed: 1 to 2");
    check_refused(with("x[0, :1]", "torch.full([1], 3)"), "label 3; allowed: 1 to 2");
    check_refused(with("1.5 + x[0, :1]", "torch.ones([1])"), "a score of 1.5; allowed");
}

TEST_CASE("a scripted detector needs a pool that knows classes") {
    MemoryPool pool = object_pool(1);
    pool.info.classes = 0;
    CHECK_THROWS_WITH(load({kFinds, kList}, pool.info), contains("knows of no classes"));
    // Unless the file has names.
    const auto model =
        load({kFinds, kList}, pool.info, R"(["__background__", "cat", "N/A", "cow"])");
    CHECK(model->spec().classes == 2);
}

TEST_CASE("names that a scripted detector brings decide which class a label is") {
    MemoryPool pool = object_pool(4);
    pool.info.class_names = {"cat", "dog"};
    const auto classes_by = [&](const std::string& categories) {
        const auto model = load({kFinds, kList}, pool.info, categories);
        return Detect(model->spec(), detect_options(model->spec()))(run(*model, pool))[3].classes;
    };
    // By falling score: labels 1, 2, 1.
    CHECK(classes_by("") == std::vector<std::int64_t>{0, 1, 0});
    CHECK(classes_by(R"(["__background__", "dog", "cat"])") == std::vector<std::int64_t>{1, 0, 1});
    CHECK(classes_by(R"(["cow", "sheep", "cat"])") == std::vector<std::int64_t>{0});
    CHECK(classes_by(R"(["cat", "dog", "N/A"])") == std::vector<std::int64_t>{1, 1});
    CHECK_THROWS_WITH(classes_by(R"(["cat", "dog"])"), contains("label 2; allowed: 1 to 1"));
    CHECK_THROWS_WITH(classes_by(R"(["cow", "sheep", "Cat"])"),
                      contains("none of its 3 categories (cow, sheep, Cat) is a class of pool"));
    CHECK_THROWS_WITH(classes_by("{}"), contains("no list of names in JSON"));
}

TEST_CASE("a score that is no number sets an image apart, and ends an evaluation") {
    const MemoryPool pool = object_pool(4);
    const std::string finds = R"(
def find(self, image: Tensor) -> Dict[str, Tensor]:
    count = int(image[0, 0, 0] * 255.0 + 0.5) // 3
    at = torch.arange(count) * 1.0
    return {"boxes": torch.ones([count, 4]), "scores": at / at, "labels": torch.ones([count])}
)";
    const auto model = load({finds, kList}, pool.info);
    const ModelRoles roles{model.get(), nullptr, nullptr, {}};
    for (const std::string strategy : {"boxes", "deterministic"}) {
        const Predictions made = predict_all(roles, pool, {{strategy}, 4});
        REQUIRE(made.quarantined.size() == 1);
        CHECK(made.quarantined[0].id == pool.info.rows - 1);
    }
    const auto source = stream_blocks(pool, 0, 1);
    CHECK_THROWS_WITH(evaluate_detector(*model, *source, pool_metric(),
                                        detect_options(model->spec()), *make_local_collective()),
                      contains("no numbers for one of the 4 images from id"));
}
