#pragma once

// Training of a model on rows drawn uniformly or by priority, data-parallel over the ranks of a
// Collective. Every rank has its own instance of each model, with the same parameters, and sees the
// whole source. Under a method other than uniform each update takes the next B rows of the epoch as
// candidates and trains on the b = B / rho of them that the method keeps
// (src/training/prioritised).

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "src/base/check.hpp"
#include "src/base/collective.hpp"
#include "src/base/phases.hpp"
#include "src/models/model.hpp"
#include "src/pool/example_source.hpp"
#include "src/training/companions.hpp"
#include "src/training/train_options.hpp"
#include "src/training/train_state.hpp"

namespace thresher {

/// Where training is, after an update.
struct TrainProgress {
    std::int64_t step, steps;    ///< updates done, and planned
    std::int64_t epoch, epochs;  ///< of the update just done, counted from 0
    double loss;                 ///< of the update's batch
    double learning_rate;
    bool evaluated;  ///< the curves of evaluations have just grown
};

/// Curves by name. `steps`, one value an update: loss, learning_rate; noisy_share, of the rows
/// trained on, where the source knows the truth (of targets, or of captions); candidate_score and
/// chosen_score, means, where rows are scored; staleness, updates that these scores are behind,
/// where actors score. `evaluations`, one value an epoch or every so many updates: update,
/// train_loss, train_accuracy (since the one before; of pairs, how many images are nearest to their
/// caption among those of their batch) and, with a validation source, validation_... of all that
/// validate() tells.
struct TrainCurves {
    std::map<std::string, std::vector<double>> steps, evaluations;
};

enum class TrainEnd { finished, early_stop, interrupted };

/// A loss or a gradient was no longer finite. The state is that before the update.
class Diverged : public Error {
  public:
    explicit Diverged(const std::string& message) : Error(message) {}
};

struct ActorLink;  // src/training/actors/actor_feed.hpp

class Trainer {
  public:
    /// `model` is trained in place and left in the mode it was in. `validation` may be null (then
    /// no early stopping). All must outlive the trainer. Throws UsageError on bad options and where
    /// the method lacks a companion, Error where a model does not fit the source. Collective: the
    /// parameters of rank 0 are copied to all.
    ///
    /// With `actors`, they score instead of the ranks of `collective`: see actors/actor_feed for
    /// what that asks of the caller.
    Trainer(Model& model, ExampleSource& train, ExampleSource* validation,
            const TrainOptions& options, Collective& collective, const Companions& companions = {},
            const ActorLink* actors = nullptr);
    ~Trainer();

    /// Trains to the end, or until `after_step` returns false (all ranks must return the same). It
    /// is called after each update, when the state may be exported. With patience, the model ends
    /// with the parameters of its best evaluation. Throws Diverged, naming the ids of the batch,
    /// where a loss or a gradient is no longer finite; under skip_nan such updates are left out,
    /// but no more than ten in a row. Collective.
    TrainEnd run(const std::function<bool(const TrainProgress&)>& after_step = {});

    /// Parameters, buffers, optimiser moments, position, early-stopping state, curves. The same
    /// bytes on every rank. Local.
    TrainState export_state() const;
    /// Throws FileError where an entry is missing or has the wrong size. Local.
    void import_state(const TrainState& state);

    std::int64_t candidates_per_update() const;  ///< B; of an epoch's last two fewer
    std::int64_t rows_per_update() const;        ///< b; the same as B where nothing is scored
    const TrainCurves& curves() const;
    std::int64_t steps_done() const;
    std::int64_t steps_planned() const;
    /// Rows that were met without a usable target; they count in no loss. Summed over ranks and
    /// epochs.
    std::int64_t rows_without_target() const;
    /// Candidates that had no finite score, for want of a target or of a number, and so were not
    /// chosen (unless no candidate of an update had one). Summed as above.
    std::int64_t candidates_without_score() const;
    /// Updates left out because a loss was not finite.
    std::int64_t skipped_updates() const;
    /// Floating-point operations over all ranks, by what they were for: "learner", "online" and
    /// "reference" for training, "score_online" and "score_reference" for scoring.
    std::map<std::string, double> flops() const;
    /// What else is to be in a ledger: with actors, see ActorFeed::costs().
    std::map<std::string, double> costs() const;
    const Phases& phases() const;  ///< seconds: read, score, choose, compute, reduce, update...

  private:
    struct Body;
    std::unique_ptr<Body> body_;
};

}  // namespace thresher
