#include <cmath>

#include "src/base/check.hpp"
#include "src/training/train_options.hpp"
#include "tests/support/catch.hpp"

using namespace thresher;

TEST_CASE("the learning rate rises through the warm-up and falls along a half cosine") {
    TrainOptions options;
    options.learning_rate = 0.4;
    options.warmup_epochs = 2.0;
    const auto rate = [&](std::int64_t step) { return learning_rate_at(options, step, 100, 10); };
    CHECK(rate(0) == Approx(0.4 / 20));
    CHECK(rate(9) == Approx(0.2));
    CHECK(rate(19) == Approx(0.4));
    CHECK(rate(20) == Approx(0.4));
    CHECK(rate(40) == Approx(0.2 * (1.0 + std::cos(std::acos(-1.0) / 4.0))));
    CHECK(rate(60) == Approx(0.2));
    CHECK(rate(99) == Approx(0.2 * (1.0 + std::cos(std::acos(-1.0) * 79.0 / 80.0))));
    options.schedule = ScheduleKind::constant;
    CHECK(rate(99) == 0.4);
    options.warmup_epochs = 0.0;
    CHECK(rate(0) == 0.4);
    options.warmup_epochs = 0.15;  // an update and a half
    CHECK(rate(0) == Approx(0.4 / 1.5));
    CHECK(rate(1) == 0.4);
}

TEST_CASE("all options out of range are named at once") {
    TrainOptions options;
    CHECK_NOTHROW(check_options(options));
    options.learning_rate = -1.0;
    options.batch_size = 0;
    options.label_smoothing = 1.0;
    CHECK_THROWS_AS(check_options(options), UsageError);
    CHECK_THROWS_WITH(
        check_options(options),
        thresher::test::contains("learning-rate is -1, allowed: above 0") &&
            thresher::test::contains("batch-size is 0, allowed: 1 or more") &&
            thresher::test::contains("label-smoothing is 1, allowed: from 0 to below 1"));
}

TEST_CASE("options are read by the names they are shown with") {
    CHECK(optimizer_kind("adamw") == OptimizerKind::adamw);
    CHECK(schedule_kind("constant") == ScheduleKind::constant);
    CHECK(augment_kind("crop-flip") == AugmentKind::crop_flip);
    CHECK(augment_kind("boxes") == AugmentKind::boxes);
    CHECK_THROWS_WITH(augment_kind("flip"), thresher::test::contains("none, crop-flip, boxes"));
    CHECK_THROWS_WITH(optimizer_kind("adam"),
                      thresher::test::contains("adam") && thresher::test::contains("sgd, adamw"));
    const auto table = describe(TrainOptions{});
    CHECK(table.front() == std::pair<std::string, std::string>("epochs", "10"));
}
