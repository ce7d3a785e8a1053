#pragma once

#include <map>
#include <string>

#include "src/base/collective.hpp"
#include "src/models/model.hpp"
#include "src/pool/example_source.hpp"
#include "src/training/train_options.hpp"

namespace thresher {

/// What the curves keep of a model's evaluation, by name: loss and accuracy; of a model that reads
/// captions, its loss by `contrastive`, alignment and recall_at_1, _5 and _10, the mean of both
/// directions; of a detector, loss and average_precision, see pool_metric(). Collective.
std::map<std::string, double> validate(const Model& model, ExampleSource& source,
                                       ContrastiveKind contrastive, Collective& collective);

}  // namespace thresher
