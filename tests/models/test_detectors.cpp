#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <filesystem>
#include <fstream>

#include "src/base/check.hpp"
#include "src/models/anchors.hpp"
#include "src/models/detector/heads.hpp"
#include "src/models/detector/trunk.hpp"
#include "src/models/flops.hpp"
#include "tests/models/detector_spec_of.hpp"
#include "tests/models/model_bytes.hpp"
#include "tests/support/catch.hpp"

using namespace thresher;
using thresher::test::contains;

namespace {

/// Numbers between -1 and 1 that differ from place to place.
at::Tensor images(std::int64_t rows, const std::vector<std::int64_t>& shape) {
    const std::int64_t count = rows * shape[0] * shape[1] * shape[2];
    return at::arange(count).mul(7919).remainder(1009).div(504.5).sub(1.0).view(
        {rows, shape[0], shape[1], shape[2]});
}

double largest_difference(const at::Tensor& a, const at::Tensor& b) {
    return a.sub(b).abs().max().item<double>();
}

void check_shapes(const ModelSpec& spec) {
    INFO(spec.name << " with trunk " << spec.detector->trunk << " for " << spec.input_shape[0]
                   << " x " << spec.input_shape[1] << " x " << spec.input_shape[2]);
    Builder builder(std::nullopt);
    const auto trunk = make_trunk(spec, builder);
    const auto heads = make_heads(spec, builder);
    for (const NamedTensor& entry : builder.parameters) entry.tensor.fill_(1e-3);
    Pass pass;
    const auto features = (*trunk)(images(2, spec.input_shape), pass);
    const auto levels = trunk_levels(spec);
    REQUIRE(features.size() == levels.size());
    for (std::size_t i = 0; i < levels.size(); ++i) {
        CHECK(features[i].sizes() ==
              at::IntArrayRef({2, levels[i].channels, levels[i].height, levels[i].width}));
    }
    const ModelOutputs outputs = (*heads)(features, pass);
    const auto anchors = static_cast<std::int64_t>(anchor_boxes(spec).size() / 4);
    const std::int64_t logits = spec.name == "ssd" ? spec.classes + 1 : spec.classes;
    CHECK(outputs.logits.sizes() == at::IntArrayRef({2, anchors, logits}));
    CHECK(outputs.boxes.sizes() == at::IntArrayRef({2, anchors, 4}));
    CHECK(outputs.logits.isfinite().all().item<bool>());
    CHECK(outputs.boxes.isfinite().all().item<bool>());
}

/// Gives running statistics values other than the 0 and 1 they start with.
void disturb_statistics(Model& model) {
    const c10::NoGradGuard no_grad;
    for (const NamedTensor& buffer : model.buffers()) buffer.tensor.mul_(1.5).add_(0.03);
}

}  // namespace

TEST_CASE("outputs are as many as anchors for every kind, trunk and shape of image") {
    const c10::NoGradGuard no_grad;
    for (const char* name : {"ssd", "retinanet"}) {
        for (const std::string_view trunk : trunks()) {
            for (const auto& shape :
                 std::vector<std::vector<std::int64_t>>{{1, 32, 32}, {3, 75, 46}, {4, 130, 200}}) {
                check_shapes(detector_spec_of(name, shape, std::string(trunk)));
            }
        }
    }
    check_shapes(detector_spec_of("ssd", {3, 300, 300}));
}

TEST_CASE("detectors have the numbers of parameters that torchvision's have") {
    const auto count = [](const ModelSpec& spec) { return parameter_count(*make_model(spec, 1)); };
    // ssd300_vgg16 of 90 classes and background, and for each channel that batch-norm has here a
    // gain beside the bias.
    const std::int64_t channels = 2 * 64 + 2 * 128 + 3 * 256 + 3 * 512 + 3 * 512 + 2 * 1024;
    CHECK(count(detector_spec_of("ssd", {3, 300, 300}, "vgg16", 90)) == 35641826 + channels);
    // retinanet_resnet50_fpn of 91 classes, and the group norms of two towers of four layers.
    CHECK(count(detector_spec_of("retinanet", {3, 320, 320}, "resnet50", 91)) ==
          34068119 + 2 * 4 * 2 * 256);
}

TEST_CASE("floating-point operations of the small trunk and its heads are counted") {
    const double trunk = 64 * 64 * 27 * 16 + 32 * 32 * 9 * (16 * 32 + 32 * 32) +
                         16 * 16 * 9 * (32 * 64 + 64 * 64) + 8 * 8 * 9 * (64 * 96 + 96 * 96) +
                         4 * 4 * 9 * (96 * 128 + 128 * 128);
    // Four anchors a place, with four logits and four codes each.
    const double heads = 4 * 8 * 9 * (32 * 32 * 32 + 16 * 16 * 64 + 8 * 8 * 96 + 4 * 4 * 128);
    CHECK(forward_flops_of_an_example(detector_spec_of("ssd", {3, 128, 128})) ==
          2.0 * (trunk + heads));
}

TEST_CASE("outputs come by level, row, column and shape of anchor") {
    // Two shapes of three numbers at each place; every element is its place in that order.
    const auto level = [](std::int64_t first, std::int64_t height, std::int64_t width) {
        return at::arange(first, first + height * width * 6)
            .view({1, height, width, 6})
            .permute({0, 3, 1, 2})
            .contiguous();
    };
    const at::Tensor ordered = by_anchor({level(0, 3, 4), level(72, 1, 2)}, 3);
    CHECK(ordered.equal(at::arange(84).view({1, 28, 3})));
}

TEST_CASE("what changes at a place of the image changes the outputs of the anchors there") {
    const c10::NoGradGuard no_grad;
    for (const char* name : {"ssd", "retinanet"}) {
        const ModelSpec spec = detector_spec_of(name, {1, 64, 128});
        const auto model = make_model(spec, 1);
        const at::Tensor plain = at::zeros({1, 1, 64, 128});
        at::Tensor spotted = plain.clone();
        spotted.narrow(2, 44, 4).narrow(3, 100, 4).fill_(3.0);
        const at::Tensor change =
            model->forward(spotted).boxes.sub(model->forward(plain).boxes).abs().sum(2)[0];
        const auto first_level =
            static_cast<std::int64_t>(16 * 32 * spec.detector->anchors[0].size());
        const auto at = change.narrow(0, 0, first_level).argmax().item<std::int64_t>();
        const std::vector<float> anchors = anchor_boxes(spec);
        const float* box = &anchors[static_cast<std::size_t>(4 * at)];
        CHECK((box[0] + box[2]) / 2 == Approx(102.0).margin(6.0));
        CHECK((box[1] + box[3]) / 2 == Approx(46.0).margin(6.0));
    }
}

TEST_CASE("a new retinanet finds every class with a probability of about 0.01") {
    const c10::NoGradGuard no_grad;
    const ModelSpec spec = detector_spec_of("retinanet", {3, 64, 64});
    const ModelOutputs outputs = make_model(spec, 1)->forward(images(2, spec.input_shape));
    CHECK(outputs.logits.sigmoid().mean().item<double>() == Approx(0.01).epsilon(0.1));
}

TEST_CASE("the scoring form of a detector equals it, and its clone and its file are it") {
    const c10::NoGradGuard no_grad;
    for (const char* name : {"ssd", "retinanet"}) {
        for (const char* trunk : {"small", name == std::string("ssd") ? "vgg16" : "resnet18"}) {
            INFO(name << " with trunk " << trunk);
            const ModelSpec spec = detector_spec_of(name, {3, 64, 64}, trunk);
            CHECK((model_spec_from_json(to_json(spec)) == spec));
            auto model = make_model(spec, 5);
            disturb_statistics(*model);
            const auto bytes = bytes_of(*model);
            const auto scoring = model->scoring_form();
            CHECK_FALSE(scoring->has_dropout());
            const at::Tensor x = images(2, spec.input_shape);
            const ModelOutputs expected = model->forward(x), folded = scoring->forward(x);
            const auto check_equal = [](const at::Tensor& a, const at::Tensor& b) {
                const double scale = std::max(1.0, b.abs().max().item<double>());
                CHECK(largest_difference(a, b) <= 1e-4 * scale);
            };
            check_equal(folded.logits, expected.logits);
            check_equal(folded.boxes, expected.boxes);
            check_equal(folded.embedding, expected.embedding);
            CHECK(expected.embedding.sizes() == at::IntArrayRef({2, model->embedding_size()}));
            CHECK(bytes_of(*model) == bytes);
            CHECK(bytes_of(*model->clone()) == bytes);
        }
    }
}

TEST_CASE("a detector survives its file, with anchors of its own") {
    const c10::NoGradGuard no_grad;
    ModelSpec spec = detector_spec_of("ssd", {3, 64, 64});
    spec.detector->anchors[0].push_back({7.25, 31.0 / 3.0});
    const auto model = make_model(spec, 5);
    const auto file = std::filesystem::temp_directory_path() / "thresher-detector.pt";
    std::ofstream(file, std::ios::binary) << model->archive();
    const auto loaded = load_model(file.string(), box_pool({3, 64, 64}));
    const PoolInfo more_classes = box_pool({3, 64, 64}, 5);
    CHECK_THROWS_WITH(load_model(file.string(), more_classes),
                      contains("tells 3 classes apart") && contains("has 5"));
    std::filesystem::remove(file);
    CHECK(bytes_of(*loaded) == bytes_of(*model));
    CHECK((loaded->spec() == model->spec()));
    const at::Tensor x = images(1, spec.input_shape);
    CHECK(loaded->forward(x).logits.equal(model->forward(x).logits));
}

TEST_CASE("a second class head begins apart, leaves the rest as it is, and shares its anchors") {
    const c10::NoGradGuard no_grad;
    for (const char* name : {"ssd", "retinanet"}) {
        INFO(name);
        ModelSpec spec = detector_spec_of(name, {3, 64, 64});
        const auto plain = make_model(spec, 5);
        spec.detector->class_heads = 2;
        CHECK((model_spec_from_json(to_json(spec)) == spec));
        const auto model = make_model(spec, 5);
        for (std::size_t i = 0; i < plain->parameters().size(); ++i) {
            const NamedTensor one = plain->parameters()[i], same = model->parameters()[i];
            INFO(one.name);
            CHECK((one.name == same.name && one.tensor.equal(same.tensor)));
        }
        disturb_statistics(*plain);
        disturb_statistics(*model);
        const at::Tensor x = images(2, spec.input_shape);
        const ModelOutputs outputs = model->forward(x), alone = plain->forward(x);
        CHECK_FALSE(alone.head_logits.defined());
        REQUIRE(outputs.head_logits.sizes() ==
                at::IntArrayRef({2, 2, alone.logits.size(1), alone.logits.size(2)}));
        CHECK(outputs.head_logits[0].equal(alone.logits));
        CHECK(outputs.boxes.equal(alone.boxes));
        CHECK(largest_difference(outputs.head_logits[0], outputs.head_logits[1]) > 1e-3);
        // Detections go by the mean of the two probabilities.
        const auto probabilities = [&](const at::Tensor& logits) {
            return name == std::string("ssd") ? logits.softmax(2) : logits.sigmoid();
        };
        const at::Tensor mean = probabilities(outputs.head_logits[0])
                                    .add(probabilities(outputs.head_logits[1]))
                                    .div(2.0);
        CHECK(largest_difference(probabilities(outputs.logits), mean) < 1e-6);
        const ModelOutputs folded = model->scoring_form()->forward(x);
        CHECK(largest_difference(folded.head_logits, outputs.head_logits) < 1e-4);
    }
    ModelSpec spec = detector_spec_of("ssd", {3, 64, 64});
    spec.detector->class_heads = 3;
    CHECK_THROWS_WITH(make_model(spec, 1), contains("has 3 class heads; allowed: 1 and 2"));
}

TEST_CASE("a loss head leaves a detector as it is, and teaches its trunk nothing") {
    for (const char* name : {"ssd", "retinanet"}) {
        INFO(name);
        ModelSpec spec = detector_spec_of(name, {3, 64, 64});
        const auto plain = make_model(spec, 5);
        spec.detector->loss_head = true;
        CHECK((model_spec_from_json(to_json(spec)) == spec));
        const auto model = make_model(spec, 5);
        for (std::size_t i = 0; i < plain->parameters().size(); ++i) {
            CHECK(plain->parameters()[i].tensor.equal(model->parameters()[i].tensor));
        }
        const at::Tensor x = images(2, spec.input_shape);
        {
            const c10::NoGradGuard no_grad;
            CHECK_FALSE(plain->forward(x).log_loss.defined());
            CHECK(plain->forward(x).logits.equal(model->forward(x).logits));
            const at::Tensor folded = model->scoring_form()->forward(x).log_loss;
            CHECK(largest_difference(folded, model->forward(x).log_loss) < 1e-4);
        }
        for (const NamedTensor& entry : model->parameters()) entry.tensor.requires_grad_();
        const ModelOutputs outputs = model->forward(x);
        REQUIRE(outputs.log_loss.sizes() == at::IntArrayRef({2}));
        outputs.log_loss.sum().backward();
        for (const NamedTensor& entry : model->parameters()) {
            INFO(entry.name);
            CHECK(entry.tensor.grad().defined() == entry.name.starts_with("loss."));
        }
    }
}

TEST_CASE("a seed decides the initial bits of a detector") {
    const ModelSpec spec = detector_spec_of("retinanet", {3, 64, 64});
    CHECK(bytes_of(*make_model(spec, 3)) == bytes_of(*make_model(spec, 3)));
    CHECK(bytes_of(*make_model(spec, 3)) != bytes_of(*make_model(spec, 4)));
}

TEST_CASE("a few steps of gradient descent bring a detector's outputs nearer to what is wanted") {
    for (const char* name : {"ssd", "retinanet"}) {
        for (const char* trunk : {"small", name == std::string("ssd") ? "vgg16" : "resnet18"}) {
            INFO(name << " with trunk " << trunk);
            const ModelSpec spec = detector_spec_of(name, {3, 32, 32}, trunk);
            const auto model = make_model(spec, 2);
            model->set_training(true);
            const at::Tensor x = images(2, spec.input_shape);
            const auto loss_now = [&] {
                const ModelOutputs outputs = model->forward(x);
                return outputs.logits.sub(1.0).square().mean().add(
                    outputs.boxes.add(0.5).square().mean());
            };
            const double first = loss_now().item<double>();
            for (int step = 0; step < 6; ++step) {
                loss_now().backward();
                const c10::NoGradGuard no_grad;
                for (const NamedTensor& entry : model->parameters()) {
                    INFO(entry.name);
                    REQUIRE(entry.tensor.grad().defined());
                    at::Tensor tensor = entry.tensor;
                    tensor.sub_(tensor.grad().mul(0.005));
                    tensor.mutable_grad() = at::Tensor();
                }
            }
            CHECK(loss_now().item<double>() < 0.9 * first);
        }
    }
}

TEST_CASE("heads train on features that are kept, without their trunk") {
    const ModelSpec spec = detector_spec_of("ssd", {3, 32, 32});
    Builder of_trunk(1), of_heads(2);
    const auto trunk = make_trunk(spec, of_trunk);
    const auto heads = make_heads(spec, of_heads);
    Pass pass;
    std::vector<at::Tensor> kept;
    for (const at::Tensor& level : (*trunk)(images(2, spec.input_shape), pass)) {
        kept.push_back(level.detach());
    }
    (*heads)(kept, pass).logits.square().mean().backward();
    CHECK(of_heads.parameters.front().tensor.grad().abs().sum().item<double>() > 0.0);
    CHECK_FALSE(of_trunk.parameters.front().tensor.grad().defined());
}

TEST_CASE("what a detector cannot learn from or be is refused") {
    PoolInfo pool = box_pool({3, 64, 64});
    CHECK_THROWS_WITH(spec_for_pool("mlp", pool),
                      contains("boxes but no targets") && contains("ssd or retinanet"));
    pool.has_targets = true;
    CHECK_NOTHROW(spec_for_pool("mlp", pool));
    pool.has_boxes = false;
    CHECK_THROWS_WITH(spec_for_pool("ssd", pool), contains("the pool has no boxes"));
    CHECK_THROWS_WITH(detector_spec_of("ssd", {3, 31, 64}), contains("at least 32 x 32"));
    CHECK_THROWS_WITH(detector_spec_of("ssd", {784}), contains("[784]"));
    CHECK_THROWS_AS(detector_spec_of("ssd", {3, 64, 64}, "vgg19"), UsageError);
    CHECK_THROWS_WITH(detector_spec_of("ssd", {3, 64, 64}, "vgg19"),
                      contains("vgg19") && contains("small, vgg16, resnet18, resnet50"));
    ModelSpec mlp = spec_for_pool("mlp", [&] {
        PoolInfo vectors;
        vectors.input_shape = {4};
        vectors.classes = 2;
        return vectors;
    }());
    CHECK_THROWS_AS(use_trunk(mlp, "small"), UsageError);
    CHECK_THROWS_WITH(use_trunk(mlp, "small"), contains("mlp has no trunk"));

    ModelSpec spec = detector_spec_of("ssd", {3, 64, 64});
    spec.dropout = 0.5;
    CHECK_THROWS_WITH(make_model(spec, 1), contains("drops nothing"));
    PoolInfo captions;
    captions.input_shape = {3, 64, 64};
    captions.token_length = captions.vocabulary = 5;
    spec = spec_for_pool("two-tower", captions);
    spec.towers->image = "ssd";
    CHECK_THROWS_WITH(make_model(spec, 1), contains("cannot be a detector"));
}

TEST_CASE("a detector fits pools of its classes and images without boxes") {
    const ModelSpec spec = detector_spec_of("ssd", {3, 64, 64});
    CHECK_NOTHROW(check_fits(spec, box_pool({3, 64, 64}), "m.pt"));
    CHECK_THROWS_WITH(check_fits(spec, box_pool({3, 64, 64}, 4), "m.pt"), contains("has 4"));
    PoolInfo plain = box_pool({3, 64, 64});
    plain.has_boxes = false;
    plain.classes = 10;
    plain.class_names.assign(10, "x");
    CHECK_NOTHROW(check_fits(spec, plain, "m.pt"));
}
