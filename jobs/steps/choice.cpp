#include "jobs/steps/choice.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "io/policy_file.hpp"
#include "io/row_values.hpp"
#include "src/acquisition/joint/mean_prediction.hpp"
#include "src/base/agreement.hpp"
#include "src/base/check.hpp"
#include "src/policy/candidate_features.hpp"
#include "src/policy/heads/heads.hpp"
#include "src/selection/balanced.hpp"
#include "src/selection/budget.hpp"

namespace thresher::jobs {

namespace {

/// What `pick` picks, with what the selection cost and everything that was set apart.
Choice timed_choice(Job& job, const ShardScores& shard, const std::function<Selection()>& pick) {
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

/// A rank's predictions in memory, as joint acquisitions want them.
struct ShardPredictions {
    std::vector<float> log_probs, embeddings;

    void keep(const PredictionView& view, std::size_t first, const PredictionsShape& shape) {
        copy(view.log_probs, log_probs, first, shape.samples * shape.classes);
        copy(view.embeddings, embeddings, first, shape.embedding_size);
    }

  private:
    static void copy(std::span<const float> from, std::vector<float>& to, std::size_t first,
                     std::int64_t width) {
        if (to.empty()) return;
        std::copy(from.begin(), from.end(),
                  to.begin() + static_cast<std::ptrdiff_t>(first) * width);
    }
};

/// Marks all own rows but the M best by the scores, and but those marked already.
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

JointOptions joint_settings(const ChoiceOptions& options, std::int64_t k) {
    JointOptions settings = options.joint;
    settings.k = k;
    settings.similarity = similarity_named(options.similarity);
    return settings;
}

Choice choose_jointly(Job& job, PredictionStream& stream, const ChoiceOptions& options,
                      const JointAcquisition& acquisition, std::int64_t k, std::uint32_t round,
                      std::span<const std::uint8_t> excluded, const Comparisons& comparisons) {
    check_fits(acquisition, stream.available());
    const auto rows = static_cast<std::size_t>(stream.owned_rows().size());
    const PredictionsShape& shape = stream.shape();
    ShardPredictions predictions;
    agree(job.collective(), [&] {
        const auto room = [&](std::int64_t width) {
            return rows * static_cast<std::size_t>(width);
        };
        if (acquisition.reads("log_probs"))
            predictions.log_probs.resize(room(shape.samples * shape.classes));
        if (acquisition.reads("embeddings"))
            predictions.embeddings.resize(room(shape.embedding_size));
    });
    std::vector<std::string> pointwise;
    if (options.candidates > 0) pointwise.push_back(options.candidates_by);
    const ShardScores shard = score_stream(
        job, stream, pointwise, round, comparisons,
        [&](const PredictionView& view, RowRange block) {
            predictions.keep(
                view, static_cast<std::size_t>(block.begin - stream.owned_rows().begin), shape);
        });

    return timed_choice(job, shard, [&] {
        std::vector<std::uint8_t> others(excluded.begin(), excluded.end());
        if (options.candidates > 0) {
            others =
                exclude_all_but(job, shard, options.candidates_by, options.candidates, excluded);
        }
        // What is labelled takes part, as what is covered already.
        for (std::size_t i = 0; i < comparisons.labelled.size(); ++i) {
            if (comparisons.labelled[i] != 0) others[i] = 0;
        }
        const std::vector<std::size_t> bad = quarantined_offsets(shard);
        if (!bad.empty()) others.resize(rows, 0);
        for (const std::size_t offset : bad) others[offset] = 1;
        JointRows joint{.rows = static_cast<std::int64_t>(rows),
                        .first_row = shard.rows.begin,
                        .ids = shard.ids,
                        .log_probs = predictions.log_probs,
                        .samples = shape.samples,
                        .classes = shape.classes,
                        .embeddings = predictions.embeddings,
                        .embedding_size = shape.embedding_size,
                        .excluded = others,
                        .labelled = comparisons.labelled};
        JointOptions settings = joint_settings(options, k);
        settings.seed = job.common().seed;
        settings.round = round;
        return select_jointly(job.collective(), acquisition, joint, settings);
    });
}

}  // namespace

bool picks_jointly(const std::string& acquisition) {
    return acquisition == kPolicy || find_joint_acquisition(acquisition) != nullptr;
}

void add_choice_options(CLI::App& app, ChoiceOptions& options) {
    add_selector_options(app, options.selector);
    app.add_option("--balance", options.balance,
                   "A share of the batch for each class: by targets, or by predictions")
        ->check(CLI::IsMember({"none", "targets", "predictions"}));
    app.add_option("--candidates", options.candidates,
                   "Joint acquisitions, policy: pick among so many rows alone; 0 = among all")
        ->check(CLI::NonNegativeNumber);
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

namespace {

/// Own rows that a policy may pick: not excluded, not quarantined, and among the candidates.
std::vector<std::int64_t> candidate_rows(Job& job, const ShardScores& shard,
                                         const ChoiceOptions& options,
                                         std::span<const std::uint8_t> excluded) {
    std::vector<std::uint8_t> others(excluded.begin(), excluded.end());
    others.resize(static_cast<std::size_t>(shard.rows.size()), 0);
    for (const std::size_t offset : quarantined_offsets(shard)) others[offset] = 1;
    if (options.candidates > 0) {
        others = exclude_all_but(job, shard, options.candidates_by, options.candidates, others);
    }
    std::vector<std::int64_t> rows;
    for (std::int64_t row = shard.rows.begin; row < shard.rows.end; ++row) {
        if (others[static_cast<std::size_t>(row - shard.rows.begin)] == 0) rows.push_back(row);
    }
    return rows;
}

/// The predictions of the candidates alone come together; the root picks.
Choice choose_by_policy(Job& job, PredictionStream& stream, const ChoiceOptions& options,
                        std::int64_t k, std::uint32_t round, std::span<const std::uint8_t> excluded,
                        const Comparisons& comparisons, const io::TrainedPolicy* agent) {
    io::TrainedPolicy of_file;
    if (agent == nullptr) {
        agree(job.collective(), [&] { of_file = io::read_policy(options.policy); });
    }
    const io::TrainedPolicy& trained = agent != nullptr ? *agent : of_file;
    std::vector<std::string> pointwise;
    if (options.candidates > 0) pointwise.push_back(options.candidates_by);
    const ShardScores shard = score_stream(job, stream, pointwise, round, comparisons);
    return timed_choice(job, shard, [&] {
        const std::vector<std::int64_t> own = candidate_rows(job, shard, options, excluded);
        const RowPredictions candidates = gather_predictions_at_root(job.collective(), stream, own);
        const RowPredictions labelled = gather_predictions_at_root(
            job.collective(), stream, marked_rows(stream, comparisons.labelled));
        Selection selection;
        selection.selectable = std::ssize(own);
        job.collective().all_reduce_sum(std::span(&selection.selectable, 1));
        agree(job.collective(), [&] {
            if (!job.is_root()) return;
            const CandidateSet set =
                make_candidates({.rows = selection.selectable,
                                 .embeddings = candidates.embeddings,
                                 .embedding_size = stream.shape().embedding_size,
                                 .log_probs = candidates.log_probs,
                                 .samples = stream.shape().samples,
                                 .classes = stream.shape().classes,
                                 .labelled_embeddings = labelled.embeddings},
                                trained.feature_kinds);
            const Rollouts drawn = draw_batches(trained.policy, set,
                                                {.picks = k,
                                                 .seed = job.common().seed,
                                                 .update = round,
                                                 .likeliest = !options.sample});
            for (const std::int32_t pick : drawn.picks[0]) {
                selection.ids.push_back(candidates.ids[static_cast<std::size_t>(pick)]);
            }
            selection.scores = drawn.pick_log_probabilities[0];
        });
        return selection;
    });
}

/// The class of each row of a view: its target, or the likeliest under the mean prediction; -1
/// where there is none.
void classes_of(const PredictionView& view, bool by_targets, std::span<std::int32_t> classes) {
    const auto width = static_cast<std::size_t>(view.samples * view.classes);
    std::vector<double> mean(static_cast<std::size_t>(view.classes));
    for (std::size_t row = 0; row < classes.size(); ++row) {
        if (by_targets) {
            classes[row] = static_cast<std::int32_t>(view.targets[row]);
            continue;
        }
        mean_prediction(view.log_probs.subspan(row * width, width), mean);
        const auto likeliest = std::max_element(mean.begin(), mean.end());
        classes[row] =
            std::isfinite(*likeliest) ? static_cast<std::int32_t>(likeliest - mean.begin()) : -1;
    }
}

Choice choose_balanced(Job& job, PredictionStream& stream, const ChoiceOptions& options,
                       const std::string& acquisition, std::int64_t k, std::uint32_t round,
                       std::span<const std::uint8_t> excluded, const Comparisons& comparisons) {
    const bool by_targets = options.balance == "targets";
    const std::vector<std::string> available = stream.available();
    const auto offers = [&](const char* word) {
        return std::find(available.begin(), available.end(), word) != available.end();
    };
    THRESHER_CHECK_AS(UsageError, offers(by_targets ? "targets" : "log_probs"),
                      "--balance {} needs {}, but there are none; the predictions hold {}",
                      options.balance, by_targets ? "a pool with targets" : "class predictions",
                      fmt::join(available, ", "));
    std::vector<std::int32_t> classes(static_cast<std::size_t>(stream.owned_rows().size()));
    const ShardScores shard = score_stream(
        job, stream, {acquisition}, round, comparisons,
        [&](const PredictionView& view, RowRange rows) {
            classes_of(view, by_targets,
                       std::span(classes).subspan(
                           static_cast<std::size_t>(rows.begin - stream.owned_rows().begin),
                           static_cast<std::size_t>(rows.size())));
        });
    std::int64_t count = 0;
    for (const std::int32_t c : classes) count = std::max<std::int64_t>(count, c + 1);
    job.collective().all_reduce_max(std::span(&count, 1));
    return timed_choice(job, shard, [&] {
        return select_balanced(
            job.collective(), {shard.scores.at(acquisition), shard.rows.begin, shard.ids, excluded},
            classes, count, k, options.selector.selector(job.common().seed, round));
    });
}

}  // namespace

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
