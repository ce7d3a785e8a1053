// What a detector's outputs cost: by hand, by finite differences, and image by image.

#include "src/training/loss/detection_loss.hpp"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <cmath>
#include <functional>
#include <random>

#include "src/base/check.hpp"
#include "src/base/collective.hpp"
#include "src/base/thread_team.hpp"
#include "src/models/input_reader.hpp"
#include "src/models/tensors.hpp"
#include "src/training/batch_gradient.hpp"
#include "src/training/loss/batch_loss.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/toy_pool.hpp"

using namespace thresher;
using Catch::Matchers::WithinAbs;
using thresher::test::contains;

namespace {

constexpr bool kSsd = true, kRetinanet = false;

/// Two classes, and the given anchors.
DetectionLoss make_loss(bool ssd, const std::vector<float>& anchors, std::int64_t classes = 2) {
    ModelSpec spec;
    spec.name = ssd ? "ssd" : "retinanet";
    spec.classes = classes;
    spec.detector.emplace();
    return DetectionLoss(spec, anchors);
}

/// `count` anchors of 10 x 10, next to each other.
std::vector<float> row_of_anchors(int count) {
    std::vector<float> anchors;
    for (int i = 0; i < count; ++i) {
        const auto x = static_cast<float>(10 * i);
        for (const float side : {x, 0.0F, x + 10, 10.0F}) anchors.push_back(side);
    }
    return anchors;
}

LabelledBox object(float x0, float x1, std::int32_t class_index, std::int32_t flags = 0) {
    return {x0, 0.0F, x1, 10.0F, 0.0F, class_index, flags};
}

/// Logits [1, anchors, 3] of an ssd with these probabilities of the background, the rest being
/// shared by the classes.
at::Tensor ssd_logits(const std::vector<double>& background) {
    std::vector<double> logits;
    for (const double p : background) {
        const double other = std::log((1.0 - p) / 2.0);
        logits.insert(logits.end(), {other, other, std::log(p)});
    }
    return at::tensor(logits, at::kFloat).view({1, -1, 3});
}

/// The logit of which the sigmoid is p.
double logit(double p) { return std::log(p / (1.0 - p)); }

at::Tensor no_codes(std::int64_t anchors) { return at::zeros({1, anchors, 4}); }

double value(const at::Tensor& losses) {
    REQUIRE(losses.numel() == 1);
    return losses.item<double>();
}

}  // namespace

TEST_CASE("an ssd's loss is that of the objects and of three times as many hardest others") {
    const DetectionLoss loss = make_loss(kSsd, row_of_anchors(6));
    // The object is shifted by a tenth of the first anchor, 9 of 11 parts of which overlap: code
    // (1, 0, 0, 0). The class has half the probability: log 2.
    const std::vector<LabelledBox> boxes{object(1, 11, 1)};
    at::Tensor logits = ssd_logits({0.25, 0.9, 0.2, 0.5, 0.1, 0.8});
    logits[0][0] = at::tensor({std::log(0.25), std::log(0.5), std::log(0.25)});
    // Others: -log of .1, .2 and .5, together log 100; not .9 and .8.
    double hits = 0.0;
    CHECK_THAT(value(loss({logits, {}, no_codes(6)}, boxes, &hits)),
               WithinAbs(std::log(2.0) + std::log(100.0) + 0.5, 1e-5));
    CHECK(hits == 1.0);
    // Codes of anchors that are for nothing cost nothing; distances 2 and .5 cost 1.5 and .125.
    at::Tensor codes = no_codes(6).add(7.0);
    codes[0][0] = at::tensor({-1.0, 0.5, 0.0, 0.0});
    CHECK_THAT(value(loss({logits, {}, codes}, boxes)), WithinAbs(std::log(200.0) + 1.625, 1e-5));
}

TEST_CASE("a loss is divided by the anchors that are for an object, and hits are their share") {
    const DetectionLoss loss = make_loss(kSsd, row_of_anchors(9));
    // Two objects on their anchors: codes 0. One is found, of the other the background has most.
    const std::vector<LabelledBox> boxes{object(0, 10, 0), object(20, 30, 1, kDifficult)};
    at::Tensor logits = ssd_logits({.9, .5, .9, .5, .5, .5, .25, .25, .5});
    logits[0][0] = at::tensor({std::log(0.8), std::log(0.1), std::log(0.1)});
    double hits = 0.0;
    // -log of .8, of .05, twice of .25 and four times of .5.
    const double expected = -std::log(0.8) - std::log(0.05) + 8.0 * std::log(2.0);
    CHECK_THAT(value(loss({logits, {}, no_codes(9)}, boxes, &hits)),
               WithinAbs(expected / 2.0, 1e-5));
    CHECK(hits == 0.5);
}

TEST_CASE("an image without objects costs an ssd its hardest anchor, by place where they tie") {
    const DetectionLoss loss = make_loss(kSsd, row_of_anchors(4));
    const std::vector<LabelledBox> none(3);
    at::Tensor logits = ssd_logits({0.9, 0.4, 0.7, 0.4}).requires_grad_();
    at::Tensor codes = no_codes(4).requires_grad_();
    for (const std::span<const LabelledBox> boxes :
         {std::span<const LabelledBox>(none), std::span<const LabelledBox>()}) {
        logits.mutable_grad() = at::Tensor();
        double hits = 0.0;
        const at::Tensor losses = loss({logits, {}, codes}, boxes, &hits);
        CHECK_THAT(value(losses), WithinAbs(-std::log(0.4), 1e-6));
        CHECK(hits == 1.0);
        losses.sum().backward();
        // Of the two with .4 the first: softmax minus what is wanted.
        const at::Tensor expected = at::zeros({1, 4, 3});
        expected[0][1] = at::tensor({0.3, 0.3, -0.6});
        CHECK(logits.grad().sub(expected).abs().max().item<double>() < 1e-6);
        CHECK(codes.grad().abs().max().item<double>() == 0.0);
    }
}

TEST_CASE("two class heads cost the mean of each alone, each with its own hardest anchors") {
    for (const bool ssd : {kSsd, kRetinanet}) {
        const DetectionLoss loss = make_loss(ssd, row_of_anchors(6));
        const std::vector<LabelledBox> boxes{object(1, 11, 1)};
        at::Tensor first = ssd_logits({0.25, 0.9, 0.2, 0.5, 0.1, 0.8});
        at::Tensor second = ssd_logits({0.5, 0.1, 0.9, 0.3, 0.9, 0.2});
        if (!ssd) {
            first = first.slice(2, 0, 2);
            second = second.slice(2, 0, 2);
        }
        const at::Tensor codes = no_codes(6).add(0.25);
        const double expected =
            (value(loss({first, {}, codes}, boxes)) + value(loss({second, {}, codes}, boxes))) / 2;
        at::Tensor heads = at::stack({first, second}).set_requires_grad(true);
        const at::Tensor both = loss({first, {}, codes, heads}, boxes);
        CHECK_THAT(value(both), WithinAbs(expected, 1e-5));
        both.sum().backward();
        CHECK(heads.grad()[0].abs().sum().item<double>() > 0.0);
        CHECK(heads.grad()[1].abs().sum().item<double>() > 0.0);
        CHECK_THROWS_WITH(loss({first, {}, codes, heads[0]}, boxes),
                          contains("two class heads are [1, 6,"));
    }
}

TEST_CASE("what lies in a crowd teaches nothing") {
    const DetectionLoss ssd = make_loss(kSsd, row_of_anchors(4));
    // Of the background the hardest two lie in the crowd.
    const std::vector<LabelledBox> boxes{object(0, 20, 1, kCrowd)};
    CHECK_THAT(value(ssd({ssd_logits({.1, .2, .6, .5}), {}, no_codes(4)}, boxes)),
               WithinAbs(std::log(2.0), 1e-6));
    // A crowd over all of the image leaves nothing.
    CHECK(value(ssd({ssd_logits({.1, .2, .6, .5}), {}, no_codes(4)},
                    std::vector{object(0, 40, 0, kCrowd)})) == 0.0);
    const DetectionLoss retinanet = make_loss(kRetinanet, row_of_anchors(2));
    // p = .5 costs 3 / 4 x 1 / 4 x log 2 where nothing is there.
    CHECK_THAT(value(retinanet({at::zeros({1, 2, 2}), {}, no_codes(2)},
                               std::vector{object(0, 10, 0, kCrowd)})),
               WithinAbs(2.0 * 0.1875 * std::log(2.0), 1e-6));
}

TEST_CASE("a retinanet's loss is the focal loss of all anchors but those in between") {
    // The object is 10 x 10. It is overlapped by 1, by .45 (neither), and not at all.
    const std::vector<float> anchors{0, 0, 10, 10, 0, 0, 4.5F, 10, 20, 0, 30, 10};
    const DetectionLoss loss = make_loss(kRetinanet, anchors);
    const std::vector<LabelledBox> boxes{object(0, 10, 1)};
    const at::Tensor logits = at::tensor({logit(.25), 0.0, 90.0, -90.0, logit(.75), logit(.5)})
                                  .to(at::kFloat)
                                  .view({1, 3, 2});
    double hits = 0.0;
    const double there = 0.25 * 0.25 * std::log(2.0);
    const double not_there =
        0.75 * (0.0625 * -std::log(0.75) + 0.5625 * -std::log(0.25) + 0.25 * std::log(2.0));
    CHECK_THAT(value(loss({logits, {}, no_codes(3)}, boxes, &hits)),
               WithinAbs(there + not_there, 1e-5));
    CHECK(hits == 1.0);
    at::Tensor codes = no_codes(3).add(7.0);
    codes[0][0] = at::tensor({-2.0, 0.25, 0.0, 1.0});
    CHECK_THAT(value(loss({logits, {}, codes}, boxes)), WithinAbs(there + not_there + 3.25, 1e-5));
    // Two anchors for objects halve it: the second of 10 x 10 with the same logits as the first.
    const std::vector<float> more{0, 0, 10, 10, 0, 0, 4.5F, 10, 20, 0, 30, 10, 0, 0, 10, 10};
    CHECK_THAT(value(make_loss(kRetinanet, more)(
                   {at::cat({logits, logits.slice(1, 0, 1)}, 1), {}, no_codes(4)}, boxes)),
               WithinAbs((2 * there + not_there + 0.75 * 0.0625 * -std::log(0.75)) / 2, 1e-5));
}

TEST_CASE("logits of any size have finite losses and gradients") {
    for (const bool ssd : {kSsd, kRetinanet}) {
        const DetectionLoss loss = make_loss(ssd, row_of_anchors(4));
        const std::vector<LabelledBox> boxes{object(0, 10, 0)};
        for (const double size : {-1e4, -90.0, 90.0, 1e4}) {
            at::Tensor logits = at::zeros({1, 4, ssd ? 3 : 2});
            logits.select(2, 0).fill_(size);
            logits.requires_grad_();
            const at::Tensor losses = loss({logits, {}, no_codes(4)}, boxes);
            losses.sum().backward();
            CAPTURE(ssd, size, losses.item<double>());
            CHECK(std::isfinite(losses.item<double>()));
            CHECK(logits.grad().isfinite().all().item<bool>());
            // What is surely right costs nothing, what is surely wrong its logit: of the ssd three
            // anchors without an object or the one with it, whose four times log 2 is from the two
            // other columns; a retinanet has the second class besides.
            const double three = 3.0 * size, one = -size, two = std::log(2.0);
            const double expected = ssd ? (size > 0 ? three : one + 4.0 * two)
                                        : (size > 0 ? 0.75 * three : 0.25 * one) + 0.75 * two;
            CHECK_THAT(losses.item<double>(), WithinAbs(expected, 1e-5 * std::abs(size)));
        }
    }
}

namespace {

/// Three images of many anchors and 5 classes with random outputs: the first with objects, a crowd
/// and one that is difficult, the second with none, the third with many.
struct Scene {
    std::int64_t anchors, classes = 5;
    std::vector<float> corners;
    std::vector<LabelledBox> boxes;
    std::size_t most = 12;
    at::Tensor logits, codes;

    Scene(bool ssd, std::int64_t anchor_count, at::ScalarType type) : anchors(anchor_count) {
        std::mt19937 random(7);
        const auto draw = [&](int below) { return static_cast<float>(random() % below); };
        for (std::int64_t i = 0; i < anchors; ++i) {
            const float x = draw(90), y = draw(90);
            corners.insert(corners.end(), {x, y, x + 5 + draw(30), y + 5 + draw(30)});
        }
        boxes.resize(3 * most);
        for (const std::size_t i : {0, 1, 2, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35}) {
            const float x = draw(80), y = draw(80);
            boxes[i] = {x,
                        y,
                        x + 5 + draw(30),
                        y + 5 + draw(30),
                        0.0F,
                        static_cast<std::int32_t>(random() % 5),
                        0};
        }
        boxes[0].flags = kCrowd;
        boxes[1].flags = kDifficult;
        std::normal_distribution<double> normal;
        const auto numbers = [&](std::int64_t columns) {
            std::vector<double> values;
            for (std::int64_t i = 0; i < 3 * anchors * columns; ++i) {
                values.push_back(2.0 * normal(random));
            }
            return at::tensor(values, at::kDouble).to(type).view({3, anchors, columns});
        };
        logits = numbers(classes + (ssd ? 1 : 0));
        codes = numbers(4);
    }

    std::span<const LabelledBox> boxes_of(std::size_t first, std::size_t count) const {
        return std::span(boxes).subspan(first * most, count * most);
    }
};

struct Learned {
    at::Tensor losses, logits, codes;  ///< the latter two gradients

    bool equals(const Learned& other) const {
        return losses.equal(other.losses) && logits.equal(other.logits) && codes.equal(other.codes);
    }
};

/// Losses of images from `first` on, and gradients of their sum, weighed.
Learned learn(const DetectionLoss& loss, const Scene& scene, std::int64_t first, std::int64_t count,
              const at::Tensor& weights = {}) {
    at::Tensor logits = scene.logits.narrow(0, first, count).clone().requires_grad_();
    at::Tensor codes = scene.codes.narrow(0, first, count).clone().requires_grad_();
    const at::Tensor losses =
        loss({logits, {}, codes},
             scene.boxes_of(static_cast<std::size_t>(first), static_cast<std::size_t>(count)));
    (weights.defined() ? losses.dot(weights) : losses.sum()).backward();
    return {losses.detach(), logits.grad(), codes.grad()};
}

}  // namespace

TEST_CASE("gradients are those of finite differences, weights included") {
    for (const bool ssd : {kSsd, kRetinanet}) {
        const Scene scene(ssd, 40, at::kDouble);
        const DetectionLoss loss = make_loss(ssd, scene.corners, scene.classes);
        const at::Tensor weights = at::tensor({0.5, 3.0, 1.25}, at::kDouble);
        const Learned learned = learn(loss, scene, 0, 3, weights);
        const auto weighed = [&] {
            return loss({scene.logits, {}, scene.codes}, scene.boxes).dot(weights).item<double>();
        };
        const auto check = [&](const at::Tensor& values, const at::Tensor& gradient) {
            double* const numbers = values.mutable_data_ptr<double>();
            const double* const slopes = gradient.const_data_ptr<double>();
            double largest = 0.0;
            for (std::int64_t i = 0; i < values.numel(); ++i) {
                const double before = numbers[i], step = 1e-5;
                numbers[i] = before + step;
                const double above = weighed();
                numbers[i] = before - step;
                const double below = weighed();
                numbers[i] = before;
                largest = std::max(largest, std::abs((above - below) / (2 * step) - slopes[i]));
            }
            CAPTURE(ssd, largest);
            CHECK(largest < 1e-7);
            CHECK(gradient.abs().max().item<double>() > 0.01);
        };
        check(scene.logits, learned.logits);
        check(scene.codes, learned.codes);
    }
}

TEST_CASE("an image's loss is the same alone, in a batch, and with any number of threads") {
    for (const bool ssd : {kSsd, kRetinanet}) {
        // More numbers an image than LibTorch adds in one thread.
        const Scene scene(ssd, 9001, at::kFloat);
        const DetectionLoss loss = make_loss(ssd, scene.corners, scene.classes);
        const Learned together = learn(loss, scene, 0, 3);
        for (std::int64_t image = 0; image < 3; ++image) {
            const Learned alone = learn(loss, scene, image, 1);
            const auto part = [&](const at::Tensor& all) { return all.narrow(0, image, 1); };
            CAPTURE(ssd, image);
            CHECK(
                alone.equals({part(together.losses), part(together.logits), part(together.codes)}));
            const int threads = at::get_num_threads();
            for (const int some : {1, 3}) {
                use_threads(some);
                at::set_num_threads(some);
                CHECK(learn(loss, scene, image, 1).equals(alone));
                CHECK(learn(loss, scene, 0, 3).equals(together));
            }
            use_threads(1);
            at::set_num_threads(threads);
        }
    }
}

TEST_CASE("weights multiply what images teach") {
    const Scene scene(kSsd, 200, at::kFloat);
    const DetectionLoss loss = make_loss(kSsd, scene.corners, scene.classes);
    const Learned once = learn(loss, scene, 0, 3);
    const Learned weighed = learn(loss, scene, 0, 3, at::tensor({2.0F, 0.0F, 0.5F}));
    CHECK(weighed.losses.equal(once.losses));
    for (const auto& [with, without] :
         {std::pair(weighed.logits, once.logits), std::pair(weighed.codes, once.codes)}) {
        CHECK(with[0].equal(without[0] * 2.0));
        CHECK(with[1].abs().max().item<float>() == 0.0F);
        CHECK(with[2].equal(without[2] * 0.5));
    }
}

TEST_CASE("outputs and boxes that do not fit are refused") {
    const DetectionLoss loss = make_loss(kSsd, row_of_anchors(4));
    const at::Tensor logits = at::zeros({2, 4, 3}), codes = at::zeros({2, 4, 4});
    CHECK_NOTHROW(loss({logits, {}, codes}, {}));
    CHECK(loss({logits.narrow(0, 0, 0), {}, codes.narrow(0, 0, 0)}, {}).numel() == 0);
    CHECK_THROWS_AS(loss({logits.narrow(2, 0, 2), {}, codes}, {}), Error);
    CHECK_THROWS_AS(loss({logits, {}, codes.narrow(1, 0, 3)}, {}), Error);
    CHECK_THROWS_AS(loss({logits, {}, codes}, std::vector<LabelledBox>(3)), Error);
    CHECK_THROWS_WITH(loss({logits, {}, codes}, std::vector{object(0, 1, 0), object(0, 1, 2)}),
                      contains("is of class 2; allowed: 0 to 1"));
    ModelSpec spec;
    spec.name = "cnn";
    CHECK_THROWS_WITH(
        DetectionLoss(spec, std::vector<float>()),
        contains("cnn is no detector that can be trained here; allowed: ssd, retinanet"));
}

namespace {

/// Eight images of bytes with up to two objects, and a detector of them.
struct Toy {
    MemoryPool pool = byte_pool(8, {3, 64, 64}, 2);
    std::unique_ptr<Model> model;

    explicit Toy(const std::string& name, bool loss_head = false) {
        pool.info.has_targets = false;
        pool.targets.assign(8, -1);
        pool.info.has_boxes = true;
        pool.info.most_boxes = 2;
        pool.boxes.resize(16);
        for (std::size_t i = 0; i < 15; i += 1 + i % 2) {
            const auto x = static_cast<float>(2 * i);
            pool.boxes[i] = {x, 4, x + 20, 30, 0, static_cast<std::int32_t>(i % 2), 0};
        }
        ModelSpec spec = spec_for_pool(name, pool.info);
        spec.detector->loss_head = loss_head;
        model = make_model(spec, 3);
    }

    at::Tensor losses(double* hits) const {
        const c10::NoGradGuard no_grad;
        const InputReader reader(model->spec(), pool.info.element_type, pool.info.scale, "cpu");
        return DetectionLoss(model->spec())(model->forward(reader.read(pool.inputs)), pool.boxes,
                                            hits);
    }
};

at::Tensor gradient_of(const Model& model) {
    std::vector<at::Tensor> parts;
    for (const NamedTensor& entry : model.parameters()) {
        REQUIRE(entry.tensor.grad().defined());
        parts.push_back(entry.tensor.grad().clone().flatten());
        entry.tensor.mutable_grad() = at::Tensor();
    }
    return at::cat(parts);
}

}  // namespace

TEST_CASE("a batch learns the mean over its images, in shards or at once, by their weights") {
    for (const std::string name : {"ssd", "retinanet"}) {
        const Toy toy(name);
        for (const NamedTensor& entry : toy.model->parameters()) entry.tensor.requires_grad_();
        const auto loss = make_detection_loss(*toy.model, toy.pool.info, {});
        double hits = 0.0;
        const at::Tensor losses = toy.losses(&hits);
        const TrainSums all = loss->learn(0, toy.pool, {}, {0, 8}, 8);
        const at::Tensor gradient = gradient_of(*toy.model);
        CAPTURE(name);
        CHECK_THAT(all.loss, WithinAbs(losses.sum().item<double>(), 1e-4));
        CHECK(all.correct == hits);
        CHECK(all.labelled == 8.0);
        CHECK(all.unlabelled == 0.0);
        CHECK(all.flops > 0.0);

        const TrainSums first = loss->learn(0, toy.pool, {}, {0, 3}, 8);
        const TrainSums second = loss->learn(1, toy.pool, {}, {3, 8}, 8);
        CHECK_THAT(first.loss + second.loss, WithinAbs(all.loss, 1e-4));
        CHECK_THAT(first.correct + second.correct, WithinAbs(all.correct, 1e-12));
        const double size = gradient.abs().max().item<double>();
        CHECK(gradient_of(*toy.model).sub(gradient).abs().max().item<double>() < 1e-4 * size);

        // Weights 2 for three images and 0 for the others: twice what the three teach.
        const std::vector<float> weights{2, 2, 2, 0, 0, 0, 0, 0};
        const TrainSums weighed = loss->learn(0, toy.pool, weights, {0, 8}, 8);
        CHECK_THAT(weighed.loss, WithinAbs(2.0 * first.loss, 1e-4));
        const at::Tensor of_weighed = gradient_of(*toy.model);
        loss->learn(0, toy.pool, {}, {0, 3}, 4);
        CHECK(gradient_of(*toy.model).sub(of_weighed).abs().max().item<double>() < 1e-4 * size);
    }
}

TEST_CASE("a loss head learns the logarithm of 1 + the loss, and nothing else learns by it") {
    for (const std::string name : {"ssd", "retinanet"}) {
        CAPTURE(name);
        const Toy plain(name), toy(name, true);
        const auto learn = [](const Toy& of, std::span<const float> weights) {
            for (const NamedTensor& entry : of.model->parameters()) entry.tensor.requires_grad_();
            return make_detection_loss(*of.model, of.pool.info, {})
                ->learn(0, of.pool, weights, {0, 8}, 8);
        };
        const std::vector<float> weights{1, 2, 0, 1, 1, 3, 1, 1};
        for (const bool weighed : {false, true}) {
            const auto own = weighed ? std::span<const float>(weights) : std::span<const float>();
            CHECK(learn(plain, own).loss == learn(toy, own).loss);
            const at::Tensor expected = gradient_of(*plain.model);
            // d/db of the mean over images of w (f + b - log(1 + l))^2.
            const c10::NoGradGuard no_grad;
            const InputReader reader(toy.model->spec(), toy.pool.info.element_type,
                                     toy.pool.info.scale, "cpu");
            const at::Tensor told = toy.model->forward(reader.read(toy.pool.inputs)).log_loss;
            const at::Tensor wanted = plain.losses(nullptr).log1p();
            double slope = 0.0;
            for (std::int64_t i = 0; i < 8; ++i) {
                const double weight = weighed ? double{weights[static_cast<std::size_t>(i)]} : 1.0;
                slope += weight * 2.0 / 8.0 * (told[i].item<double>() - wanted[i].item<double>());
            }
            const NamedTensor last = toy.model->parameters().back();
            REQUIRE(last.name == "loss.last.bias");
            CHECK(last.tensor.grad().item<double>() == Approx(slope).epsilon(1e-4));
            const at::Tensor all = gradient_of(*toy.model);
            CHECK(all.narrow(0, 0, expected.numel()).equal(expected));
        }
    }
}

TEST_CASE("a loss head comes to know which images cost more") {
    Toy toy("ssd", true);
    // Images that a trunk without training tells apart: from dark to bright.
    for (std::size_t i = 0; i < toy.pool.inputs.size(); ++i) {
        const std::size_t row = i / (toy.pool.inputs.size() / 8);
        toy.pool.inputs[i] = static_cast<std::byte>(
            std::to_integer<std::size_t>(toy.pool.inputs[i]) * (row + 1) / 8);
    }
    const at::Tensor wanted = toy.losses(nullptr).log1p();
    const auto loss = make_detection_loss(*toy.model, toy.pool.info, {});
    const auto told = [&] {
        const c10::NoGradGuard no_grad;
        const InputReader reader(toy.model->spec(), toy.pool.info.element_type, toy.pool.info.scale,
                                 "cpu");
        return toy.model->forward(reader.read(toy.pool.inputs)).log_loss;
    };
    const auto spread = [](const at::Tensor& values) {
        return values.sub(values.mean()).square().sum().item<double>();
    };
    for (const NamedTensor& entry : toy.model->parameters()) entry.tensor.requires_grad_();
    for (int step = 0; step < 500; ++step) {
        loss->learn(0, toy.pool, {}, {0, 8}, 8);
        const c10::NoGradGuard no_grad;
        for (const NamedTensor& entry : toy.model->parameters()) {
            if (entry.name.starts_with("loss.")) {
                entry.tensor.sub_(entry.tensor.grad().mul(0.1));
            }
            entry.tensor.mutable_grad() = at::Tensor();
        }
    }
    // The rest of the detector stood still, so the losses did. A head that tells no image from
    // another would leave all of their spread.
    CHECK(told().sub(wanted).square().sum().item<double>() < 0.3 * spread(wanted));
}

TEST_CASE("detectors are trained by the loss of boxes, from pools that have them") {
    Toy toy("ssd");
    CHECK_NOTHROW(check_teaches(toy.pool.info, toy.model->spec()));
    TrainOptions options;
    const double expected = toy.losses(nullptr).sum().item<double>();
    const auto alone = make_local_collective();
    {
        BatchGradient gradient(*toy.model, toy.pool.info, options, 8, *alone);
        Phases phases;
        const TrainSums sums = gradient.compute(toy.pool, {}, 8, 0, phases);
        CHECK_THAT(sums.loss, WithinAbs(expected, 1e-4));
        CHECK(gradient.gradient().abs().max().item<double>() > 0.0);
    }
    options.label_smoothing = 0.1;
    CHECK_THROWS_WITH(make_detection_loss(*toy.model, toy.pool.info, options),
                      contains("label smoothing is 0.1, but ssd"));
    toy.pool.info.has_boxes = false;
    CHECK_THROWS_WITH(check_teaches(toy.pool.info, toy.model->spec()),
                      contains("pool toy.h5 has no boxes"));
}
