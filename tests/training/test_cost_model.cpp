#include "src/training/cost_model.hpp"

#include "src/base/check.hpp"
#include "tests/support/golden.hpp"

using namespace thresher;
using namespace thresher::test;

TEST_CASE("a plan that changes nothing costs as much as uniform training") {
    CHECK(relative_compute({.learner = 5.0}) == 1.0);
    CHECK(affordable_scoring({.learner = 5.0}) == 0.0);
}

TEST_CASE("half the updates pay for scorers of half a learner's training") {
    // (9 + 2 x 4.5) / 2 = 9: the saved half goes into scoring, exactly.
    CostPlan plan{.learner = 3.0, .scoring = 4.5, .speedup = 0.5};
    CHECK(relative_compute(plan) == 1.0);
    CHECK(affordable_scoring(plan) == 4.5);
    plan.filter_ratio = 4.0;
    CHECK(affordable_scoring(plan) == 2.25);
    // Training an online model of a third of the learner takes a third of the half that was saved.
    plan.online_charged = 1.0;
    plan.scoring = 0.0;
    CHECK(relative_compute(plan) == Approx(0.5 + 0.5 / 3.0));
}

TEST_CASE("what an affordable scorer costs breaks even") {
    for (const double speedup : {0.1, 0.26, 0.7}) {
        CostPlan plan{.learner = 60.0,
                      .reference_charged = 1.5,
                      .online_charged = 1.25,
                      .filter_ratio = 2.5,
                      .speedup = speedup};
        plan.scoring = affordable_scoring(plan);
        CHECK(relative_compute(plan) == Approx(1.0).epsilon(1e-12));
    }
}

TEST_CASE("costs, ratios and speedups that cannot be are refused") {
    CHECK_THROWS_AS(relative_compute({}), UsageError);
    CHECK_THROWS_AS(relative_compute({.learner = 1.0, .scoring = -1.0}), UsageError);
    CHECK_THROWS_WITH(relative_compute({.learner = 1.0, .filter_ratio = 0.5}),
                      contains("1 or more"));
    CHECK_THROWS_WITH(relative_compute({.learner = 1.0, .speedup = 1.0}), contains("below 1"));
}

TEST_CASE("plans cost what the reference numbers say") {
    const nlohmann::json cases = golden("cost_model.json");
    if (cases.is_null()) return;
    for (const auto& row : cases["rows"]) {
        INFO(row["name"]);
        const CostPlan plan{.learner = row["F_learn"],
                            .scoring = row["F_act"],
                            .reference_charged = row["F_ref_charged"],
                            .online_charged = row["F_online_train_charged"],
                            .filter_ratio = row["rho"],
                            .speedup = row["learner_speedup"]};
        const auto& expected = row["expected"];
        CHECK(relative_compute(plan) ==
              Approx(expected["relative_compute"].get<double>()).epsilon(1e-12));
        CHECK(affordable_scoring(plan) ==
              Approx(expected["max_affordable_F_act"].get<double>()).epsilon(1e-9).margin(1e-12));
    }
}
