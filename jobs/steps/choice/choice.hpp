#pragma once

// One batch, by any acquisition: pointwise scores and a selector, or rows picked jointly, by a
// formula or by a trained policy. Shared by select and loop.

#include <CLI/CLI.hpp>

#include "io/batch_file.hpp"
#include "io/policy_file.hpp"
#include "jobs/options/aggregate_options.hpp"
#include "jobs/options/selector_options.hpp"
#include "jobs/steps/scoring/score_source.hpp"
#include "src/acquisition/joint/joint.hpp"

namespace thresher::jobs {

struct ChoiceOptions {
    SelectorOptions selector;
    JointOptions joint;
    AggregateOptions aggregate;
    std::string similarity = "cosine";
    std::int64_t candidates = 0;  ///< 0: all rows
    std::string candidates_by = "random";
    std::string policy;            ///< file of the acquisition policy
    std::string agent = "fixed";   ///< loop, policy: or "single", "per-cycle": trained on the way
    bool sample = false;           ///< policy: a draw, not the likeliest batch
    std::string balance = "none";  ///< or "targets", "predictions": a share for each class
    /// > 0: instead of k rows, as many as their costs allow, from a dataset of a file.
    double budget = 0.0;
    std::string cost_file, cost;
};

/// The acquisition whose batch a trained policy picks.
inline constexpr std::string_view kPolicy = "policy";

/// Whether an acquisition picks a batch as a whole, without a selector.
bool picks_jointly(const std::string& acquisition);

/// Adds the options of selectors, of joint acquisitions, of boxes and of policies.
void add_choice_options(CLI::App& app, ChoiceOptions& options);

/// Throws UsageError unless the size of the batch, its budget and its selector go together. Local.
void check_share(const ChoiceOptions& options, std::int64_t k);

/// Throws UsageError for what can be refused before anything is read: an unknown acquisition,
/// options out of range or of the wrong kind of acquisition. Local.
void check_choice(const ChoiceOptions& options, const std::string& acquisition, std::int64_t k);

/// Warns of options that were given and that none of `acquisitions` reads. Local.
void warn_of_unread(const ChoiceOptions& options, std::span<const std::string> acquisitions);

/// Throws FileError, the same on all ranks, where there is a budget but no cost of each of
/// `total_rows` rows: said before the work, not after. Collective.
void check_costs(Job& job, const ChoiceOptions& options, std::int64_t total_rows);

/// Throws the same error on all ranks where `acquisition` is a policy that cannot be read, or whose
/// batches have no fixed size: said before the work, not after. Collective.
void check_policy(Job& job, const ChoiceOptions& options, const std::string& acquisition);

/// Words of Acquisition::needs that the choice reads.
std::vector<std::string_view> needs_of_choice(const ChoiceOptions& options,
                                              const std::string& acquisition);

struct Choice {
    Selection selection;
    std::vector<QuarantinedRow> quarantine;  ///< of all ranks, at the root
    Traffic traffic;                         ///< of the selection, this rank's
    double spent = 0.0;                      ///< of the budget, at the root
};

/// A batch without rows that says how they are picked: acquisition, selector and what belongs to
/// them. `jointly`: by a joint acquisition, without a selector. Local.
io::Batch describe_batch(const ChoiceOptions& options, const std::string& acquisition,
                         const Selector& selector, bool jointly);

/// The batch by scores that are there. `excluded` marks own rows that may not be picked, or is
/// empty. Throws as select_rows. Collective.
Choice choose_by_scores(Job& job, const ShardScores& shard, const ChoiceOptions& options,
                        const std::string& acquisition, std::int64_t k, std::uint32_t round,
                        std::span<const std::uint8_t> excluded);

/// The batch by an acquisition over a stream. `excluded` marks own rows that may not be picked,
/// labelled ones included. A policy is `agent`, or that of the file. Throws UsageError where the
/// acquisition does not fit the stream. Collective.
Choice choose(Job& job, PredictionStream& stream, const ChoiceOptions& options,
              const std::string& acquisition, std::int64_t k, std::uint32_t round,
              std::span<const std::uint8_t> excluded, const Comparisons& comparisons,
              const io::TrainedPolicy* agent = nullptr);

}  // namespace thresher::jobs
