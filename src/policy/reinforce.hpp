#pragma once

// REINFORCE (Williams 1992) over batches: K rollouts an update in one of the training environments,
// the metric of each batch as its reward, less a baseline. Everything random is keyed by seed,
// update and rollout, and every rollout begins from the same environment; so a training that was
// stopped goes on with the same bits.

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "src/policy/advantages.hpp"
#include "src/policy/heads/heads.hpp"
#include "src/policy/metric.hpp"
#include "src/policy/replay.hpp"
#include "src/policy/signatures.hpp"
#include "src/training/train_state.hpp"

namespace thresher {

struct ReinforceOptions {
    std::int64_t picks = 0;      ///< b
    std::int64_t rollouts = 32;  ///< K
    std::int64_t updates = 200;
    double learning_rate = 1e-2;  ///< of Adam
    double gradient_clip = 1.0;   ///< largest norm of a gradient; 0: any
    std::string baseline = "mean";
    double entropy_bonus = 0.02;      ///< for the entropy of a rollout's steps, at the first update
    double last_entropy_bonus = 0.0;  ///< at the last update; linear between
    std::int64_t truncation = 0;      ///< > 0: see Draw
    /// Rollouts of earlier updates that an update uses again, the last in its environment.
    std::int64_t replay = 0;
    std::int64_t refresh_every = 0;  ///< updates between two refreshes of the metric; 0: never
    std::uint64_t seed = 0;
};

/// Throws UsageError for what is out of range. Local.
void check_options(const ReinforceOptions& options);

/// Candidates, and what batches of them are worth. The metric must outlive the training.
struct TrainingEnvironment {
    std::string name;
    CandidateSet candidates;
    Metric* metric = nullptr;
};

/// What a refresh found: of the batches that were proposed, what the metric foretold and what
/// retraining gave; NaN where none had both.
struct RefreshReport {
    static constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
    double predicted = kNone, retrained = kNone;  ///< means
    double error = kNone;                         ///< root mean square of their difference
    double spread = kNone;                        ///< standard deviation of what was retrained
    /// What retraining gave for random batches so far. Estimates differ less than that, as they
    /// shrink towards their mean, so theirs is no unit for what was retrained.
    Spread random{};
};

/// Told, for one environment after the other, batches [Q, b] that the policy proposes after so many
/// updates; may refit its metric, which is not asked before the last was told. Nothing where it did
/// not.
using Refresh = std::function<std::optional<RefreshReport>(
    std::int64_t update, std::size_t environment, std::span<const std::int32_t> batches)>;

/// How a policy came to pick: in the first environment, the share of the rollouts of some updates
/// that picked each candidate.
struct PickShares {
    std::vector<double> updates;  ///< [S]
    std::vector<double> shares;   ///< [S, N]
};

class Reinforce {
  public:
    /// Throws UsageError as check_options and check_draw.
    Reinforce(Policy policy, std::span<const TrainingEnvironment> environments,
              const ReinforceOptions& options, Refresh refresh = {});

    /// One update: an environment, its rollouts, their rewards, a step of Adam. Throws Error where
    /// gradients have not been finite for ten updates; the first also where random batches all have
    /// the same metric, so that nothing can be learned.
    void update();
    bool finished() const { return updates_done_ >= options_.updates; }
    std::int64_t updates_done() const { return updates_done_; }

    const Policy& policy() const { return policy_; }
    /// One value an update: gain (the mean reward in standard deviations of random batches above
    /// their mean), reward, reward_spread, entropy (a share of the uniform law's), gradient_norm,
    /// hard_share and easy_share (of the picks among the 2 b hardest and easiest), labels, price.
    /// And one a refresh: predicted, retrained, retrained_gain (in standard deviations of random
    /// batches that were retrained, above their mean), estimate_error,
    /// retrained_spread, refresh_update; NaN where no proposal was retrained.
    const Curves& curves() const { return curves_; }
    /// Floating-point operations of updates and proposals so far, as flops_of() counts them.
    double flops() const { return flops_; }
    /// Of 50 to 100 updates, or all in the first environment where they are fewer.
    const PickShares& pick_shares() const { return pick_shares_; }
    /// Signatures of failure that showed in the last update for the first time.
    const std::vector<std::string>& new_warnings() const { return new_warnings_; }

    TrainState export_state() const;
    /// Throws FileError where it is of another training.
    void import_state(const TrainState& state);

  private:
    Draw draw_for(std::int64_t update) const;
    void refresh();
    /// Means and deviations of random batches, by which rewards are told.
    void check_that_batches_differ() const;
    void measure_random();
    /// Of batches in the environment of this place. Where one is not finite: the mean of the others
    /// or, where batches have no fixed size, less than all that is known.
    std::vector<double> finite_metrics_of(
        std::size_t place, const std::vector<std::vector<std::int32_t>>& batches) const;
    /// Less the price of the labels, where batches have no fixed size.
    std::vector<double> rewards_of(std::span<const double> metrics,
                                   const std::vector<std::vector<std::int32_t>>& batches) const;
    /// The advantages of fresh rollouts, [K, T]. With replay, those of rollouts that are used again
    /// add their gradient, and both count in proportion to their number.
    std::vector<float> replayed_advantages(std::size_t environment, const Rollouts& rollouts,
                                           std::span<const double> rewards, const Draw& draw,
                                           std::span<float> gradient) const;
    void step(std::span<float> gradient);
    void note_picks(const Rollouts& rollouts);
    void record(const TrainingEnvironment& environment, const Rollouts& rollouts,
                std::span<const double> rewards, const Spread& random);

    Policy policy_;
    const Head& head_;
    const Baseline& baseline_;
    std::span<const TrainingEnvironment> environments_;
    ReinforceOptions options_;
    Refresh refresh_;
    std::vector<Spread> random_;          ///< of each environment
    std::vector<ReplayMemory> memories_;  ///< the same
    std::vector<double> uniform_entropies_;
    std::vector<double> first_moments_, second_moments_;
    std::int64_t updates_done_ = 0, adam_steps_ = 0, not_finite_in_a_row_ = 0;
    double flops_ = 0.0;
    double price_ = 0.0;  ///< label-or-not: of a label, in the metric
    Curves curves_;
    PickShares pick_shares_;
    std::vector<std::string> reported_, new_warnings_;
};

}  // namespace thresher
