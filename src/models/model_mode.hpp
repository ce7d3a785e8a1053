#pragma once

// A model's mode for the length of a scope.

#include "src/models/model.hpp"

namespace thresher {

/// Puts a model into train or eval mode, and back into the mode it was in.
class ModelMode {
  public:
    ModelMode(Model& model, bool training) : model_(model), before_(model.is_training()) {
        if (before_ != training) model.set_training(training);
    }
    ~ModelMode() {
        if (model_.is_training() != before_) model_.set_training(before_);
    }
    ModelMode(const ModelMode&) = delete;
    ModelMode& operator=(const ModelMode&) = delete;

  private:
    Model& model_;
    bool before_;
};

}  // namespace thresher
