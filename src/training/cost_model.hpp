#pragma once

// Whether prioritised training pays: what it computes against uniform training to the same end,
// known before anything is run (Evans et al., "Bad Students Make Great Teachers", arXiv 2312.05328,
// section 3.3). A backward pass costs two forward passes.

namespace thresher {

/// Forward costs are of one example, in any unit, the same for all.
struct CostPlan {
    double learner = 0.0;            ///< F_learn
    double scoring = 0.0;            ///< F_act: all forward passes that score one candidate
    double reference_charged = 0.0;  ///< F_ref, times the examples it is pretrained on over those
                                     ///< that uniform training takes; 0: it was there already
    double online_charged = 0.0;     ///< F_online where its training is charged; 0 otherwise
    double filter_ratio = 2.0;       ///< rho = B / b, candidates for each example trained on
    double speedup = 0.0;            ///< share of the updates saved; below 0: more are needed
};

/// ((3 F_learn + rho F_act + 3 F_online) beta + 3 F_ref) / (3 F_learn), beta = 1 - speedup: what
/// the plan computes, uniform training being 1. It is compute-positive where this is below 1.
/// Throws UsageError for costs, ratios or speedups that cannot be. Local.
double relative_compute(const CostPlan& plan);

/// The F_act at which relative_compute is 1. Throws as it. Local.
double affordable_scoring(const CostPlan& plan);

}  // namespace thresher
