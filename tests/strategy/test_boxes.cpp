// Strategy boxes against the detector and its detections taken by hand.

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "src/base/check.hpp"
#include "src/detection/detect.hpp"
#include "src/models/input_reader.hpp"
#include "src/models/tensors.hpp"
#include "src/strategy/box_outputs.hpp"
#include "tests/strategy/predict_all.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/toy_pool.hpp"

using namespace thresher;
using namespace thresher::test;

namespace {

using Floats = std::vector<float>;

constexpr std::int64_t kHeight = 48, kWidth = 56, kClasses = 2;

MemoryPool image_pool(std::int64_t rows) {
    MemoryPool pool = byte_pool(rows, {1, kHeight, kWidth}, kClasses);
    pool.info.has_targets = false;
    pool.info.has_boxes = true;
    pool.info.most_boxes = 0;
    return pool;
}

/// The same images, seen in a mirror.
MemoryPool mirrored(MemoryPool pool) {
    for (auto row = pool.inputs.begin(); row != pool.inputs.end(); row += kWidth) {
        std::reverse(row, row + kWidth);
    }
    return pool;
}

/// Untrained, but unsure enough of the background to find something.
std::unique_ptr<Model> make_detector(const std::string& name, const PoolInfo& pool,
                                     std::int64_t class_heads = 1, bool loss_head = false) {
    ModelSpec spec = spec_for_pool(name, pool);
    spec.detector->class_heads = class_heads;
    spec.detector->loss_head = loss_head;
    auto model = make_model(spec, 3);
    const c10::NoGradGuard no_grad;
    for (const NamedTensor& entry : model->parameters()) {
        const bool is_last = entry.tensor.dim() == 1 && entry.tensor.numel() % kClasses == 0;
        if (name == "retinanet" && is_last && entry.tensor.min().item<float>() < -4.0F) {
            entry.tensor.fill_(-1.0F);
        }
    }
    return model;
}

struct ByHand {
    ModelOutputs outputs;
    std::vector<ImageDetections> found;
};

ByHand detect(const Model& model, const MemoryPool& pool) {
    const c10::NoGradGuard no_grad;
    const InputReader reader(model.spec(), pool.info.element_type, pool.info.scale, "cpu");
    const auto scoring = model.scoring_form();
    ByHand result;
    result.outputs = scoring->forward(reader.read(pool.inputs));
    result.found = Detect(model.spec(), detect_options(model.spec()))(result.outputs);
    return result;
}

double overlap(const float* a, const double* b) {
    const double width = std::min<double>(a[2], b[2]) - std::max<double>(a[0], b[0]);
    const double height = std::min<double>(a[3], b[3]) - std::max<double>(a[1], b[1]);
    if (width <= 0 || height <= 0) return 0.0;
    const double areas = double{a[2] - a[0]} * double{a[3] - a[1]} + (b[2] - b[0]) * (b[3] - b[1]);
    return width * height / (areas - width * height);
}

double flip_of(const ImageDetections& found, std::size_t box, const ImageDetections& mirror) {
    double best = 0.0;
    for (std::size_t i = 0; i < mirror.scores.size(); ++i) {
        const float* const c = &mirror.corners[4 * i];
        const double back[4]{kWidth - double{c[2]}, c[1], kWidth - double{c[0]}, c[3]};
        if (mirror.classes[i] == found.classes[box])
            best = std::max(best, overlap(&found.corners[4 * box], back));
    }
    return 1.0 - best;
}

/// What an anchor's logits say of its box, the background last: of an ssd their softmax, of a
/// retinanet that one class alone is there, or none, given that no two are.
std::vector<double> distribution_of(const at::Tensor& logits, bool is_ssd) {
    std::vector<double> x, p;
    for (std::int64_t c = 0; c < logits.numel(); ++c) x.push_back(logits[c].item<double>());
    if (is_ssd) {
        for (const double logit : x) p.push_back(std::exp(logit));
    } else {
        for (std::size_t only = 0; only <= x.size(); ++only) {
            double product = 1.0;
            for (std::size_t c = 0; c < x.size(); ++c) {
                const double s = 1.0 / (1.0 + std::exp(-x[c]));
                product *= c == only ? s : 1.0 - s;
            }
            p.push_back(product);
        }
    }
    double sum = 0.0;
    for (const double value : p) sum += value;
    for (double& value : p) value /= sum;
    return p;
}

PredictorOptions boxes_of(std::int64_t most, bool flips) {
    PredictorOptions options{{"boxes"}, 8};
    options.boxes = most;
    options.box_flips = flips;
    return options;
}

}  // namespace

TEST_CASE("the best boxes of images are those of the detector, and flips those of the mirror") {
    const MemoryPool pool = image_pool(8);  // one micro-batch, so the same bits
    for (const std::string name : {"ssd", "retinanet"}) {
        const auto model = make_detector(name, pool.info);
        const ByHand straight = detect(*model, pool), seen = detect(*model, mirrored(pool));
        for (const std::int64_t most : {3, 150}) {
            CAPTURE(name, most);
            const Predictions made = predict_all({model.get()}, pool, boxes_of(most, true));
            const auto width = static_cast<std::size_t>(most);
            REQUIRE(made.box_shape.most == most);
            REQUIRE(made.box_shape.classes == kClasses + 1);
            REQUIRE(made.box_scores.size() == 8 * width);
            REQUIRE(made.box_log_probs.size() == 8 * width * 3);
            REQUIRE(made.box_flips.size() == 8 * width);
            CHECK(made.quarantined.empty());
            std::size_t there = 0, moved = 0;
            double worst = 0.0;
            for (std::size_t image = 0; image < 8; ++image) {
                const ImageDetections& found = straight.found[image];
                for (std::size_t box = 0; box < width; ++box) {
                    const std::size_t at = image * width + box;
                    if (box >= found.scores.size()) {
                        CHECK((std::isnan(made.box_scores[at]) && std::isnan(made.box_flips[at])));
                        for (std::size_t c = 0; c < 3; ++c)
                            CHECK(std::isnan(made.box_log_probs[3 * at + c]));
                        continue;
                    }
                    ++there;
                    CHECK(made.box_scores[at] == found.scores[box]);
                    const auto p = distribution_of(
                        straight.outputs
                            .logits[static_cast<std::int64_t>(image)][found.anchors[box]],
                        name == "ssd");
                    for (std::size_t c = 0; c < 3; ++c) {
                        worst = std::max(
                            worst,
                            std::abs(std::exp(double{made.box_log_probs[3 * at + c]}) - p[c]));
                    }
                    const double flip = flip_of(found, box, seen.found[image]);
                    worst = std::max(worst, std::abs(made.box_flips[at] - flip));
                    moved += flip > 0.01 && flip < 0.99;
                }
            }
            CHECK(worst < 1e-5);
            CHECK(there >= 8 * 3);
            CHECK(moved > 0);
        }
    }
}

TEST_CASE("two class heads differ by half the sum of what they say of a box's classes") {
    const MemoryPool pool = image_pool(8);
    for (const std::string name : {"ssd", "retinanet"}) {
        CAPTURE(name);
        const auto model = make_detector(name, pool.info, 2);
        const ByHand straight = detect(*model, pool);
        const Predictions made = predict_all({model.get()}, pool, boxes_of(5, false));
        REQUIRE(made.box_shape.discrepancies);
        REQUIRE(made.box_discrepancies.size() == 8 * 5);
        std::size_t there = 0;
        double worst = 0.0, largest = 0.0;
        for (std::size_t image = 0; image < 8; ++image) {
            const ImageDetections& found = straight.found[image];
            for (std::size_t box = 0; box < 5; ++box) {
                const float told = made.box_discrepancies[image * 5 + box];
                if (box >= found.scores.size()) {
                    CHECK(std::isnan(told));
                    continue;
                }
                ++there;
                const auto says = [&](std::int64_t head) {
                    return distribution_of(
                        straight.outputs.head_logits[head][static_cast<std::int64_t>(image)]
                                                    [found.anchors[box]],
                        name == "ssd");
                };
                const auto p = says(0), q = says(1);
                double sum = 0.0;
                for (std::size_t c = 0; c < p.size(); ++c) sum += std::abs(p[c] - q[c]);
                worst = std::max(worst, std::abs(double{told} - sum / 2));
                largest = std::max(largest, sum / 2);
            }
        }
        CHECK(there >= 8);
        CHECK(worst < 1e-5);
        CHECK(largest > 1e-3);
    }
    const auto one = make_detector("ssd", pool.info);
    const Predictions plain = predict_all({one.get()}, pool, boxes_of(5, false));
    CHECK(!plain.box_shape.discrepancies);
    CHECK(plain.box_discrepancies.empty());
}

TEST_CASE("heads that agree have a discrepancy of 0, and those that are sure of others of 1") {
    const ImageDetections found{{0, 0, 1, 1, 0, 0, 2, 2}, {0.8F, 0.5F}, {0, 1}, {0, 1}};
    // Two anchors, one class and the background.
    const Floats first{0.0F, 0.0F, 100.0F, 0.0F}, second{0.0F, 0.0F, 0.0F, 100.0F};
    Floats to(3);
    store_discrepancies(found, {first, second}, 2, 2, to);
    CHECK(to[0] == 0.0F);
    CHECK(to[1] == Approx(1.0F));
    CHECK(std::isnan(to[2]));
}

TEST_CASE("predicted losses are those of the loss head, not below 0, on any number of ranks") {
    const MemoryPool pool = image_pool(50);
    const auto model = make_detector("ssd", pool.info, 1, true);
    // Some images above 0 and some below.
    const at::Tensor before = detect(*model, pool).outputs.log_loss;
    {
        const c10::NoGradGuard no_grad;
        const NamedTensor last = model->parameters().back();
        REQUIRE(last.name == "loss.last.bias");
        last.tensor.sub_(before.median());
    }
    const at::Tensor told = detect(*model, pool).outputs.log_loss;
    PredictorOptions options{{"predicted-loss", "boxes"}, 8};
    const Predictions one = predict_all({model.get()}, pool, options);
    const Floats& losses = one.losses.at("predicted");
    REQUIRE(losses.size() == 50);
    std::size_t none = 0;
    for (std::size_t i = 0; i < 50; ++i) {
        const double expected =
            std::max(0.0, std::expm1(told[static_cast<std::int64_t>(i)].item<double>()));
        CHECK(losses[i] == Approx(expected).margin(1e-4));
        none += losses[i] == 0.0F;
    }
    CHECK((none > 5 && none < 45));
    CHECK(one.quarantined.empty());
    for (const int ranks : {2, 3}) {
        CHECK(same_bits(losses,
                        predict_all({model.get()}, pool, options, ranks).losses.at("predicted")));
    }
    const auto plain = make_detector("ssd", pool.info);
    CHECK_THROWS_WITH(predict_all({plain.get()}, pool, options),
                      contains("needs a loss head") && contains("--loss-head"));
}

TEST_CASE("a retinanet of one class has boxes with its own probability") {
    const ImageDetections found{{0, 0, 1, 1}, {0.8F}, {0}, {1}};
    const Floats logits{9.0F, std::log(4.0F)};
    Floats log_probs(4), scores(2);
    store_boxes(found, logits, 1, {log_probs, scores});
    CHECK(std::exp(double{log_probs[0]}) == Approx(0.8));
    CHECK(std::exp(double{log_probs[1]}) == Approx(0.2));
    CHECK((std::isnan(log_probs[2]) && std::isnan(log_probs[3]) && std::isnan(scores[1])));
}

TEST_CASE("boxes have the same bits for any number of ranks, alone and beside other strategies") {
    const MemoryPool pool = image_pool(50);
    const auto model = make_detector("ssd", pool.info);
    PredictorOptions options = boxes_of(0, true);
    const Predictions one = predict_all({model.get()}, pool, options);
    CHECK(one.box_shape.most == kDefaultBoxes);
    REQUIRE(one.box_flips.size() == static_cast<std::size_t>(50 * kDefaultBoxes));
    for (const int ranks : {2, 3, 4}) {
        const Predictions many = predict_all({model.get()}, pool, options, ranks);
        CHECK(same_bits(one.box_log_probs, many.box_log_probs));
        CHECK(same_bits(one.box_scores, many.box_scores));
        CHECK(same_bits(one.box_flips, many.box_flips));
    }
    options.box_flips = false;
    options.strategies = {"deterministic", "embedding", "boxes"};
    const Predictions beside = predict_all({model.get()}, pool, options);
    CHECK(same_bits(one.box_log_probs, beside.box_log_probs));
    CHECK(same_bits(one.box_scores, beside.box_scores));
    CHECK(beside.box_flips.empty());
    options.boxes = 0;
    options.strategies = {"deterministic", "embedding"};
    const Predictions plain = predict_all({model.get()}, pool, options);
    CHECK(same_bits(plain.log_probs, beside.log_probs));
    CHECK(same_bits(plain.embeddings, beside.embeddings));
    CHECK(plain.box_scores.empty());
}

TEST_CASE("the mirrored pass is made where it is asked for, and counted") {
    const MemoryPool pool = image_pool(5);
    const auto model = make_detector("ssd", pool.info);
    std::vector<double> flops;
    for (const bool flips : {false, true}) {
        Predictor predictor({model.get()}, pool.info, boxes_of(4, flips));
        CHECK(predictor.shape().bytes_per_row() == 4 * 4 * (3 + 1 + (flips ? 1 : 0)));
        const auto source = stream_blocks(pool, 0, 1);
        Block block;
        Predictions made;
        REQUIRE(source->next(block));
        predictor.predict(block, made);
        flops.push_back(predictor.flops().at("learner"));
    }
    CHECK(flops[1] == 2.0 * flops[0]);
}

TEST_CASE("an image of which a detector makes no number is quarantined, not taken for empty") {
    MemoryPool pool = image_pool(3);
    pool.info.element_type = ElementType::float32;
    Floats values(static_cast<std::size_t>(3 * kHeight * kWidth), 100.0F);
    values[static_cast<std::size_t>(kHeight * kWidth) + 40] = std::nanf("");
    pool.inputs.resize(values.size() * sizeof(float));
    std::memcpy(pool.inputs.data(), values.data(), pool.inputs.size());
    const auto model = make_detector("ssd", pool.info);
    for (const char* strategy : {"deterministic", "boxes"}) {
        const Predictions made = predict_all({model.get()}, pool, PredictorOptions{{strategy}, 8});
        REQUIRE(made.quarantined.size() == 1);
        CHECK(made.quarantined[0].id == 1);
        CHECK(made.quarantined[0].reason == "the prediction is no number");
    }
}

TEST_CASE("boxes are refused where there can be none, or not so many") {
    MemoryPool pool = image_pool(4);
    const auto detector = make_detector("ssd", pool.info);
    const auto make = [&](const Model& model, const PredictorOptions& options) {
        Predictor predictor({&model}, pool.info, options);
    };
    CHECK_THROWS_WITH(make(*detector, boxes_of(201, false)), contains("finds at most 200"));
    CHECK_THROWS_AS(make(*detector, boxes_of(-1, false)), UsageError);
    PredictorOptions options = boxes_of(3, false);
    options.strategies = {"deterministic"};
    CHECK_THROWS_WITH(make(*detector, options), contains("add boxes"));
    options = boxes_of(0, true);
    options.strategies = {"embedding"};
    CHECK_THROWS_AS(make(*detector, options), UsageError);
    pool.info.has_boxes = false;
    pool.info.has_targets = true;
    const auto classifier = make_model(spec_for_pool("cnn", pool.info), 1);
    CHECK_THROWS_AS(make(*classifier, boxes_of(0, false)), UsageError);
    CHECK_THROWS_WITH(
        make(*classifier, boxes_of(0, false)),
        contains("the learner (cnn) finds none; give an ssd, a retinanet or a TorchScript file"));
}
