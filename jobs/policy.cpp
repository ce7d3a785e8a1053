// thresher policy: learn to select. Trains a policy in environments, picks batches of a pool with
// it, and tells how good it is beside other ways to choose.

#include "jobs/options/policy_options.hpp"
#include "jobs/policy_evaluation.hpp"
#include "jobs/policy_training.hpp"
#include "jobs/select.hpp"
#include "jobs/verbs.hpp"
#include "src/base/check.hpp"

namespace thresher::jobs {

namespace {

int select(Job& job) {
    SelectOptions options;
    add_action(job.options());
    add_select_options(job.options(), options);
    job.options().get_option("--output")->required();
    job.options().get_option("--policy")->required();
    job.start();
    THRESHER_CHECK_AS(UsageError, options.source.acquisitions.empty(),
                      "policy select picks by the policy; leave --acquisition out");
    options.source.acquisitions = {std::string(kPolicy)};
    return select_batch(job, options);
}

struct Action {
    std::string_view name;
    int (*run)(Job& job);
};

constexpr Action kActions[]{
    {"train", train_policy}, {"select", select}, {"evaluate", evaluate_policy}};

}  // namespace

int run_policy(Job& job) {
    const std::vector<std::string>& arguments = job.arguments();
    const std::string wanted = arguments.empty() ? "" : arguments.front();
    for (const Action& action : kActions) {
        if (action.name == wanted) return action.run(job);
    }
    add_action(job.options());
    if (wanted == "--help" || wanted == "-h") job.start();  // shows it
    fail<UsageError>(
        "the action comes first: thresher policy train, select or evaluate; thresher "
        "policy train --help lists its options");
}

}  // namespace thresher::jobs
