#pragma once

// The models beside the learner, and which of them score.

#include <span>
#include <vector>

#include "src/models/model.hpp"
#include "src/pool/example_source.hpp"
#include "src/training/prioritised/candidate_scorer.hpp"
#include "src/training/train_options.hpp"

namespace thresher {

/// The models beside the learner; a method needs what its scores read. All must outlive the
/// trainer.
struct Companions {
    /// Scores as it is at the moment, and is trained beside the learner on the same rows, by the
    /// same options. Null: the learner scores itself.
    Model* online = nullptr;
    Model* reference = nullptr;
    /// Whether the reference is trained as well, on all candidates and at twice the learning rate,
    /// instead of being frozen.
    bool train_reference = false;
    /// By position in the source, instead of a reference.
    std::span<const float> reference_losses{};
};

/// Who scores. Throws UsageError where losses that are looked up do not fit the source or the
/// options.
Scorers scorers_of(Model& learner, const Companions& companions, const ExampleSource& source,
                   const TrainOptions& options);

/// The models that score and are trained, so that their parameters travel to whoever scores: the
/// online model, then the reference.
std::vector<Model*> trained_scorers(Model& learner, const Companions& companions,
                                    const TrainOptions& options);

}  // namespace thresher
