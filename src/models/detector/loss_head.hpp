#pragma once

// What a detector expects of its own loss of an image, from the features of its trunk (Yoo and
// Kweon, "Learning loss for active learning", arXiv 1905.03677): an image whose loss is large has
// something to teach.

#include <vector>

#include "src/models/model_spec.hpp"
#include "src/models/networks/layers.hpp"

namespace thresher {

class LossHead {
  public:
    LossHead(const ModelSpec& spec, Builder& builder);

    /// log(1 + loss) [n] from a trunk's features. The paper's head passes its gradients on to the
    /// trunk; here the features are taken as they are, so a detector learns the same with it as
    /// without.
    at::Tensor operator()(const std::vector<at::Tensor>& features, Pass& pass) const;

  private:
    std::vector<Linear> levels_;  ///< of the means of each level's features
    Linear last_;
};

}  // namespace thresher
