// What a detector is worth over ranks: an untrained one will do.

#include "src/training/evaluation/evaluate_detector.hpp"

#include <c10/core/GradMode.h>

#include <array>
#include <cmath>
#include <cstring>

#include "src/base/check.hpp"
#include "src/base/thread_collective.hpp"
#include "src/models/input_reader.hpp"
#include "src/models/tensors.hpp"
#include "tests/models/model_bytes.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/toy_pool.hpp"

using namespace thresher;
using thresher::test::contains;

namespace {

constexpr std::int64_t kSide = 48, kMost = 2;

/// Images with one or two objects in every second row.
MemoryPool object_pool(std::int64_t rows) {
    MemoryPool pool = byte_pool(rows, {1, kSide, kSide}, 2);
    pool.info.has_targets = false;
    pool.info.has_boxes = true;
    pool.info.most_boxes = kMost;
    pool.info.block_rows = 8;
    pool.boxes.resize(static_cast<std::size_t>(rows * kMost));
    for (std::size_t row = 0; row < static_cast<std::size_t>(rows); row += 2) {
        pool.boxes[kMost * row] = {4, 6, 24, 30, 0, static_cast<std::int32_t>(row / 2 % 2), 0};
        if (row % 4 == 0) pool.boxes[kMost * row + 1] = {20, 20, 44, 40, 0, 1, 0};
    }
    return pool;
}

/// What the detector finds in row `row` becomes the truth of that row, as far as there is room.
void take_for_truth(const Model& model, MemoryPool& pool, std::int64_t row) {
    const c10::NoGradGuard no_grad;
    const InputReader reader(model.spec(), pool.info.element_type, pool.info.scale, "cpu");
    const ModelOutputs outputs =
        model.scoring_form()->forward(reader.read(pool.inputs, {row, row + 1}));
    const auto found = Detect(model.spec(), detect_options(model.spec()))(outputs)[0];
    REQUIRE(std::ssize(found.scores) >= kMost);
    for (std::size_t i = 0; i < kMost; ++i) {
        const float* const box = &found.corners[4 * i];
        pool.boxes[static_cast<std::size_t>(row * kMost) + i] = {
            box[0], box[1], box[2], box[3], 0, static_cast<std::int32_t>(found.classes[i]), 0};
    }
}

DetectorEvaluation evaluate_alone(const Model& model, const MemoryPool& pool,
                                  const DetectionMetricOptions& metric) {
    const auto source = stream_blocks(pool, 0, 1);
    return evaluate_detector(model, *source, metric, detect_options(model.spec()),
                             *make_local_collective());
}

bool same_bits(double a, double b) { return std::memcmp(&a, &b, sizeof(a)) == 0; }

}  // namespace

TEST_CASE("the evaluation of a detector has the same bits for 1, 2, 3 and 4 ranks") {
    MemoryPool pool = object_pool(45);
    const auto model = make_model(spec_for_pool("ssd", pool.info), 1);
    for (const std::int64_t row : {3, 17, 40}) take_for_truth(*model, pool, row);
    const auto before = bytes_of(*model);
    for (const DetectionRule rule : {DetectionRule::voc10, DetectionRule::coco}) {
        const DetectorEvaluation alone = evaluate_alone(*model, pool, pool_metric(rule));
        CHECK(alone.images == 45);
        // Of every second row one, of every fourth one more; two each of row 3, 17 and what row 40
        // has already.
        CHECK(alone.objects == 23 + 12 + 2 * 2);
        CHECK(alone.detections > 45);
        CHECK(alone.mean_loss > 0.0);
        CHECK(alone.metric.mean_average_precision > 0.0);
        CHECK(alone.metric.mean_average_precision < 1.0);
        for (const int ranks : {1, 2, 3, 4}) {
            run_simulated_ranks(ranks, [&](Collective& collective) {
                const auto own = model->clone();
                const auto source = stream_blocks(pool, collective.rank(), ranks);
                const DetectorEvaluation found = evaluate_detector(
                    *own, *source, pool_metric(rule), detect_options(own->spec()), collective);
                const auto& classes = found.metric.classes;
                bool same = found.images == alone.images && found.objects == alone.objects &&
                            found.detections == alone.detections &&
                            same_bits(found.mean_loss.value(), alone.mean_loss.value()) &&
                            same_bits(found.metric.mean_average_precision,
                                      alone.metric.mean_average_precision) &&
                            classes.size() == alone.metric.classes.size();
                for (std::size_t c = 0; same && c < classes.size(); ++c) {
                    same = same_bits(classes[c].average_precision,
                                     alone.metric.classes[c].average_precision) &&
                           classes[c].objects == alone.metric.classes[c].objects;
                }
                if (!same) throw Error("the evaluation differs");
            });
        }
    }
    CHECK(bytes_of(*model) == before);
}

TEST_CASE("boxes are compared in pixels of the original images, where their sizes are known") {
    MemoryPool pool = object_pool(2);
    const auto model = make_model(spec_for_pool("ssd", pool.info), 1);
    pool.boxes.assign(pool.boxes.size(), {});
    take_for_truth(*model, pool, 0);
    pool.boxes[1] = {};  // the best alone
    const auto side = [&](float LabelledBox::*low, float LabelledBox::*high) {
        return double{pool.boxes[0].*high} - double{pool.boxes[0].*low};
    };
    const double area =
        side(&LabelledBox::x0, &LabelledBox::x1) * side(&LabelledBox::y0, &LabelledBox::y1);
    REQUIRE(area < 32.0 * 32.0);
    // COCO sizes objects by their area in the original image: small below 32 x 32 pixels, medium
    // below 96 x 96, large beyond. The only object is one that is found first.
    const auto sizes = [&] {
        const auto coco =
            evaluate_alone(*model, pool, pool_metric(DetectionRule::coco)).metric.coco;
        return std::array{coco[3], coco[4], coco[5]};
    };
    CHECK(sizes()[0] > 0.0);
    CHECK(sizes()[1] == kNoObjects);
    CHECK(sizes()[2] == kNoObjects);
    // Originals so many times as large.
    pool.info.has_image_sizes = true;
    const auto times = static_cast<std::int32_t>(std::ceil(40.0 / std::sqrt(area)));
    constexpr auto kSize = static_cast<std::int32_t>(kSide);
    REQUIRE(times * times * area < 96.0 * 96.0);
    pool.image_sizes = {kSize * times, kSize * times, kSize, kSize};
    CHECK(sizes()[0] == kNoObjects);
    CHECK(sizes()[1] > 0.0);
    CHECK(sizes()[2] == kNoObjects);
    pool.image_sizes = {kSize * 100, kSize * 100, kSize, kSize};
    CHECK(sizes()[1] == kNoObjects);
    CHECK(sizes()[2] > 0.0);
}

TEST_CASE("what cannot be evaluated as a detector is refused on all ranks") {
    MemoryPool pool = object_pool(20);
    const auto detector = make_model(spec_for_pool("ssd", pool.info), 1);
    pool.info.has_boxes = false;
    CHECK_THROWS_WITH(evaluate_alone(*detector, pool, pool_metric()),
                      contains("pool toy.h5 has no boxes"));
    pool.info.has_boxes = true;
    PoolInfo plain = pool.info;
    plain.has_boxes = false;
    plain.has_targets = true;
    const auto classifier = make_model(spec_for_pool("cnn", plain), 1);
    const auto options = detect_options(detector->spec());
    for (const int ranks : {1, 3}) {
        CHECK_THROWS_WITH(run_simulated_ranks(
                              ranks,
                              [&](Collective& collective) {
                                  const auto source = stream_blocks(pool, collective.rank(), ranks);
                                  evaluate_detector(*classifier, *source, pool_metric(), options,
                                                    collective);
                              }),
                          contains("cnn finds no objects"));
    }
}
