#pragma once

// What an actor does: score the portions of candidates that the leading learner asks for, with the
// newest parameters it has been given, until training ends.

#include "src/base/collective.hpp"
#include "src/base/messages.hpp"
#include "src/models/model.hpp"
#include "src/pool/example_source.hpp"
#include "src/training/actors/topology.hpp"
#include "src/training/companions.hpp"
#include "src/training/train_options.hpp"

namespace thresher {

/// Works for rank 0 of `messages` until it says that training has ended. `learner` is read only
/// where it scores itself. Run inside agree() over `all`: where another rank has failed, it ends as
/// give_up_if_others_failed() does. Throws UsageError where the method lacks a model, Error where
/// one does not fit the source, FileError. Local.
void run_actor(Model& learner, const Companions& companions, ExampleSource& source,
               const TrainOptions& options, const Topology& topology, Messages& messages,
               Collective& all);

}  // namespace thresher
