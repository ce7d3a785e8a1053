#include "src/training/cost_model.hpp"

#include <cmath>

#include "src/base/check.hpp"

namespace thresher {

namespace {

void check(const CostPlan& plan) {
    THRESHER_CHECK_AS(UsageError, std::isfinite(plan.learner) && plan.learner > 0.0,
                      "the learner costs {} an example; it must be above 0", plan.learner);
    for (const double cost : {plan.scoring, plan.reference_charged, plan.online_charged}) {
        THRESHER_CHECK_AS(UsageError, std::isfinite(cost) && cost >= 0.0,
                          "a cost is {}; it must be 0 or more", cost);
    }
    THRESHER_CHECK_AS(UsageError, std::isfinite(plan.filter_ratio) && plan.filter_ratio >= 1.0,
                      "the filter ratio is {}; it must be 1 or more", plan.filter_ratio);
    THRESHER_CHECK_AS(UsageError, std::isfinite(plan.speedup) && plan.speedup < 1.0,
                      "the speedup is {}; it is the share of updates saved, below 1", plan.speedup);
}

}  // namespace

double relative_compute(const CostPlan& plan) {
    check(plan);
    const double beta = 1.0 - plan.speedup, uniform = 3.0 * plan.learner;
    return ((uniform + plan.filter_ratio * plan.scoring + 3.0 * plan.online_charged) * beta +
            3.0 * plan.reference_charged) /
           uniform;
}

double affordable_scoring(const CostPlan& plan) {
    check(plan);
    const double beta = 1.0 - plan.speedup;
    return 3.0 / plan.filter_ratio *
           ((1.0 - beta) * plan.learner - plan.reference_charged - plan.online_charged * beta) /
           beta;
}

}  // namespace thresher
