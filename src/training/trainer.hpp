#pragma once

// Supervised training of a model, data-parallel over the ranks of a Collective. Every rank has its
// own instance of the model, with the same parameters, and sees the whole source.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "src/base/collective.hpp"
#include "src/base/phases.hpp"
#include "src/models/model.hpp"
#include "src/pool/example_source.hpp"
#include "src/training/train_options.hpp"
#include "src/training/train_state.hpp"

namespace thresher {

/// Where training is, after an update.
struct TrainProgress {
    std::int64_t step, steps;    ///< updates done, and planned
    std::int64_t epoch, epochs;  ///< of the update just done, counted from 0
    double loss;                 ///< of the update's batch
    double learning_rate;
    bool epoch_ended;  ///< the per-epoch curves have just grown
};

/// Curves by name. `steps`: loss, learning_rate (one value an update). `epochs`: train_loss,
/// train_accuracy and, with a validation source, validation_loss, validation_accuracy.
struct TrainCurves {
    std::map<std::string, std::vector<double>> steps, epochs;
};

enum class TrainEnd { finished, early_stop, interrupted };

class Trainer {
  public:
    /// `model` is trained in place and left in the mode it was in. `validation` may be null (then
    /// no early stopping). All must outlive the trainer. Throws UsageError on bad options, Error
    /// where the model does not fit the source. Collective: the parameters of rank 0 are copied to
    /// all.
    Trainer(Model& model, ExampleSource& train, ExampleSource* validation,
            const TrainOptions& options, Collective& collective);
    ~Trainer();

    /// Trains to the end, or until `after_step` returns false (all ranks must return the same). It
    /// is called after each update, when the state may be exported. With patience, the model ends
    /// with the parameters of its best epoch. Throws Error where the loss is no longer finite.
    /// Collective.
    TrainEnd run(const std::function<bool(const TrainProgress&)>& after_step = {});

    /// Parameters, buffers, optimiser moments, position, early-stopping state, curves. The same
    /// bytes on every rank. Local.
    TrainState export_state() const;
    /// Throws FileError where an entry is missing or has the wrong size. Local.
    void import_state(const TrainState& state);

    const TrainCurves& curves() const;
    std::int64_t steps_done() const;
    std::int64_t steps_planned() const;
    /// Rows that were met without a usable target; they count in no loss. Summed over ranks and
    /// epochs.
    std::int64_t rows_without_target() const;
    double flops() const;          ///< forward and backward, this rank
    const Phases& phases() const;  ///< seconds: read, compute, reduce, update, evaluate

  private:
    struct Body;
    std::unique_ptr<Body> body_;
};

}  // namespace thresher
