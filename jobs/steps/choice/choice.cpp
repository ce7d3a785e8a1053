#include "jobs/steps/choice/choice.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <functional>

#include "io/policy_file.hpp"
#include "io/pool/row_values.hpp"
#include "jobs/options/numbers.hpp"
#include "jobs/steps/choice/choice_parts.hpp"
#include "src/base/agreement.hpp"
#include "src/base/check.hpp"
#include "src/base/log.hpp"
#include "src/policy/heads/heads.hpp"
#include "src/selection/budget.hpp"

namespace thresher::jobs {

Choice timed_choice(Job& job, const ShardScores& shard, const std::function<Selection()>& pick) {
    // Before "only so few can be chosen", which what is wrong with the others explains.
    check_bad_rows(job.collective(), shard.quarantine, shard.total_rows, job.max_bad());
    Choice choice;
    const Traffic before = job.collective().traffic();
    {
        const auto timer = job.phases().time("select");
        choice.selection = pick();
    }
    const Traffic after = job.collective().traffic();
    choice.traffic = {after.collectives - before.collectives, after.bytes - before.bytes};
    choice.quarantine =
        gather_reasons(job.collective(), shard.quarantine, choice.selection.quarantined);
    check_bad_rows(job.collective(), choice.quarantine, shard.total_rows, job.max_bad());
    return choice;
}

std::vector<std::uint8_t> exclude_all_but(Job& job, const ShardScores& shard,
                                          const std::string& acquisition, std::int64_t candidates,
                                          std::span<const std::uint8_t> excluded) {
    Selection chosen = select_rows(
        job.collective(), {shard.scores.at(acquisition), shard.rows.begin, shard.ids, excluded},
        candidates, {});
    const auto ids =
        job.collective().all_gather_v(std::span<const std::int64_t>(chosen.ids)).values;
    std::vector<std::uint8_t> marks = mark_ids(job.collective(), ids, shard.own(), "--candidates");
    for (std::uint8_t& mark : marks) mark = mark != 0 ? 0 : 1;
    return marks;
}

bool picks_jointly(const std::string& acquisition) {
    return acquisition == kPolicy || find_joint_acquisition(acquisition) != nullptr;
}

void add_choice_options(CLI::App& app, ChoiceOptions& options) {
    add_selector_options(app, options.selector);
    add_aggregate_options(app, options.aggregate);
    app.add_option("--balance", options.balance,
                   "A share of the batch for each class: by targets, or by predictions")
        ->check(CLI::IsMember({"none", "targets", "predictions"}));
    app.add_option("--candidates", options.candidates,
                   "Joint acquisitions, policy: pick among so many rows alone; 0 = among all")
        ->check(zero_or_more());
    app.add_option("--candidates-by,--prefilter", options.candidates_by,
                   "Pointwise acquisition whose best rows are the candidates");
    app.add_option("--policy", options.policy, "policy: the file that thresher policy train wrote");
    app.add_flag("--sample", options.sample,
                 "policy: draw a batch, where the likeliest is picked otherwise");
    app.add_option("--similarity", options.similarity,
                   "facility-location: cosine, dot, rbf or neg-squared-distance");
    app.add_option("--configurations", options.joint.configurations,
                   "batchbald: joint entropies are exact up to so many class configurations, and "
                   "estimated from so many sampled ones beyond");
    app.add_option("--exact-rows", options.joint.exact_rows,
                   "facility-location: one exact greedy round up to so many rows, two beyond");
    app.add_option("--margin-factor", options.joint.margin_factor,
                   "cluster-margin: rows of small margin to cluster, for each row to pick");
}

void check_share(const ChoiceOptions& options, std::int64_t k) {
    if (options.budget <= 0.0) {
        THRESHER_CHECK_AS(UsageError, options.cost.empty(),
                          "--cost {} says what rows cost; add --budget, how much may be spent",
                          options.cost);
        THRESHER_CHECK_AS(
            UsageError, k != 0,
            "-k is missing or 0; say how many rows to pick, or with --budget and --cost "
            "what may be spent");
        return check_selection(k, options.selector.selector(0, 0));
    }
    THRESHER_CHECK_AS(UsageError, k == 0,
                      "-k {} and --budget {} were both given; a batch has a size or a budget", k,
                      options.budget);
    THRESHER_CHECK_AS(UsageError, !options.cost.empty() && !options.cost_file.empty(),
                      "--budget needs --cost, a dataset of the pool with what each row costs, and "
                      "--pool");
    THRESHER_CHECK_AS(UsageError, options.selector.name == "top-k" && options.balance == "none",
                      "--budget picks by score per cost; it does not go with --selector {} or "
                      "--balance {}",
                      options.selector.name, options.balance);
}

namespace {

/// Throws UsageError, listing those that score each row and those that pick jointly.
void check_known(const std::string& acquisition) {
    std::vector<std::string_view> pointwise, joint;
    for (const Acquisition& known : acquisitions()) pointwise.push_back(known.name);
    for (const JointAcquisition& known : joint_acquisitions()) joint.push_back(known.name);
    THRESHER_CHECK_AS(UsageError,
                      std::find(pointwise.begin(), pointwise.end(), acquisition) != pointwise.end(),
                      "unknown acquisition \"{}\"; known: {}; and, picking a batch jointly: {}, {}",
                      acquisition, fmt::join(pointwise, ", "), fmt::join(joint, ", "), kPolicy);
}

}  // namespace

void check_choice(const ChoiceOptions& options, const std::string& acquisition, std::int64_t k) {
    check_share(options, k);
    const Selector selector = options.selector.selector(0, 0);
    const JointAcquisition* joint = find_joint_acquisition(acquisition);
    THRESHER_CHECK_AS(UsageError,
                      acquisition != kPolicy || options.agent != "fixed" || !options.policy.empty(),
                      "acquisition policy picks by a trained policy; give its file with --policy");
    if (!picks_jointly(acquisition)) {
        check_known(acquisition);
        THRESHER_CHECK_AS(UsageError, options.candidates == 0,
                          "--candidates narrows what a joint acquisition picks from, but {} scores "
                          "each row by itself; leave it out",
                          acquisition);
        return;
    }
    THRESHER_CHECK_AS(UsageError, options.budget <= 0.0,
                      "acquisition {} picks its batch jointly; --budget buys by the score of each "
                      "row; leave one of them out",
                      acquisition);
    THRESHER_CHECK_AS(UsageError, options.balance == "none",
                      "acquisition {} picks its batch jointly; --balance shares out the picks of "
                      "acquisitions that score each row; leave one of them out",
                      acquisition);
    THRESHER_CHECK_AS(UsageError, selector.name == "top-k",
                      "acquisition {} picks its batch jointly; --selector {} turns scores into a "
                      "batch and does not go with it; leave one of them out",
                      acquisition, selector.name);
    THRESHER_CHECK_AS(UsageError, options.candidates == 0 || options.candidates >= k,
                      "--candidates is {}, less than the {} rows to pick", options.candidates, k);
    if (options.candidates > 0) static_cast<void>(find_acquisition(options.candidates_by));
    if (joint != nullptr) check_joint_options(*joint, joint_settings(options, k));
}

void warn_of_unread(const ChoiceOptions& options, std::span<const std::string> acquisitions) {
    std::vector<std::string_view> unread;
    const auto note = [&](bool given, std::string_view option, std::string_view reader) {
        const auto found = std::find(acquisitions.begin(), acquisitions.end(), reader);
        if (given && found == acquisitions.end()) unread.push_back(option);
    };
    const ChoiceOptions unset;
    const SelectorOptions& selector = options.selector;
    if (selector.name == "top-k" && (selector.beta != 1.0 || selector.temperature != 1.0)) {
        log::warn(
            "top-k takes the highest scores, whatever --beta or --temperature; use softmax, "
            "power or softrank to draw");
    }
    note(!options.policy.empty(), "--policy", kPolicy);
    note(options.sample, "--sample", kPolicy);
    note(options.similarity != unset.similarity, "--similarity", "facility-location");
    note(options.joint.exact_rows != unset.joint.exact_rows, "--exact-rows", "facility-location");
    note(options.joint.configurations != unset.joint.configurations, "--configurations",
         "batchbald");
    note(options.joint.margin_factor != unset.joint.margin_factor, "--margin-factor",
         "cluster-margin");
    if (unread.empty()) return;
    log::warn("{} not read by {}", fmt::join(unread, ", "),
              acquisitions.empty() ? "a choice by scores that are there already"
                                   : fmt::format("{}", fmt::join(acquisitions, ", ")));
}

void check_costs(Job& job, const ChoiceOptions& options, std::int64_t total_rows) {
    if (options.budget <= 0.0) return;
    agree(job.collective(), [&] {
        io::read_row_values(options.cost_file, options.cost, total_rows, {0, 0});
    });
}

void check_policy(Job& job, const ChoiceOptions& options, const std::string& acquisition) {
    if (acquisition != kPolicy || options.policy.empty()) return;
    agree(job.collective(), [&] {
        const std::string head = io::read_policy(options.policy).policy.head;
        THRESHER_CHECK_AS(UsageError, find_head(head).exact,
                          "{} was trained with the head {}, which labels as many as it likes, but "
                          "a batch here has exactly k; train one with another --head",
                          options.policy, head);
    });
}

std::vector<std::string_view> needs_of_choice(const ChoiceOptions& options,
                                              const std::string& acquisition) {
    std::vector<std::string> names;
    if (acquisition != kPolicy) names.push_back(acquisition);
    if (options.candidates > 0) names.push_back(options.candidates_by);
    std::vector<std::string_view> needs = needs_of(names);
    if (acquisition == kPolicy) needs.insert(needs.end(), {"log_probs", "embeddings"});
    if (options.balance == "predictions") needs.emplace_back("log_probs");
    return needs;
}

io::Batch describe_batch(const ChoiceOptions& options, const std::string& acquisition,
                         const Selector& selector, bool jointly) {
    io::Batch batch;
    batch.acquisition = acquisition;
    batch.seed = selector.seed;
    batch.round = selector.round;
    if (jointly) {
        batch.selector = "joint";
        if (acquisition == "facility-location") batch.settings["similarity"] = options.similarity;
        if (acquisition == kPolicy) batch.settings["policy"] = options.policy;
        return batch;
    }
    batch.selector = selector.name;
    if (selector.name != "top-k") batch.beta = selector.beta;
    if (options.balance != "none") batch.settings["balance"] = options.balance;
    if (options.budget > 0.0) batch.settings["budget"] = fmt::format("{}", options.budget);
    return batch;
}

Choice choose_by_scores(Job& job, const ShardScores& shard, const ChoiceOptions& options,
                        const std::string& acquisition, std::int64_t k, std::uint32_t round,
                        std::span<const std::uint8_t> excluded) {
    const ScoredRows rows{shard.scores.at(acquisition), shard.rows.begin, shard.ids, excluded};
    if (options.budget <= 0.0) {
        const Selector selector = options.selector.selector(job.common().seed, round);
        return timed_choice(job, shard,
                            [&] { return select_rows(job.collective(), rows, k, selector); });
    }
    std::vector<float> costs;
    agree(job.collective(), [&] {
        costs = io::read_row_values(options.cost_file, options.cost, shard.total_rows, shard.rows);
    });
    double spent = 0.0;
    Choice choice = timed_choice(job, shard, [&] {
        BudgetedSelection bought =
            select_within_budget(job.collective(), rows, costs, options.budget);
        spent = bought.spent;
        return std::move(bought.selection);
    });
    choice.spent = spent;
    return choice;
}

Choice choose(Job& job, PredictionStream& stream, const ChoiceOptions& options,
              const std::string& acquisition, std::int64_t k, std::uint32_t round,
              std::span<const std::uint8_t> excluded, const Comparisons& comparisons,
              const io::TrainedPolicy* agent) {
    // Said before the work, not after.
    THRESHER_CHECK(k <= stream.total_rows(),
                   "k is {}, but the pool has {} rows; choose a smaller k", k, stream.total_rows());
    if (acquisition == kPolicy) {
        return choose_by_policy(job, stream, options, k, round, excluded, comparisons, agent);
    }
    if (const JointAcquisition* joint = find_joint_acquisition(acquisition)) {
        return choose_jointly(job, stream, options, *joint, k, round, excluded, comparisons);
    }
    if (options.balance != "none") {
        return choose_balanced(job, stream, options, acquisition, k, round, excluded, comparisons);
    }
    const ShardScores shard = score_stream(job, stream, {acquisition}, round, comparisons);
    return choose_by_scores(job, shard, options, acquisition, k, round, excluded);
}

}  // namespace thresher::jobs
