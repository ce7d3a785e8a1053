#pragma once

// A detector in training, or its heads alone on features that are kept.

#include <cstdint>
#include <memory>
#include <optional>

#include "src/environments/images/image_set.hpp"
#include "src/models/detector/heads.hpp"
#include "src/models/detector/trunk.hpp"
#include "src/training/flat_tensors.hpp"

namespace thresher {

/// Fills the tensors of a builder with those of the same name. Throws Error where one is missing.
void copy_tensors(const Model& from, const Builder& to);

class DetectionLearner {
  public:
    /// `whole`: with a trunk of its own, and features are images. `start` gives the first values;
    /// null: they are drawn under the seed.
    DetectionLearner(const ModelSpec& spec, std::uint64_t seed, bool whole, const Model* start);

    ModelOutputs forward(const Features& features, bool training);

    FlatTensors& parameters() { return *flat_; }
    /// Parameters become (1 - rate) of what they are and rate of the other's; running statistics
    /// become the other's.
    void approach(DetectionLearner& other, double rate);
    double flops() const { return pass_.flops; }

  private:
    Builder builder_;
    std::unique_ptr<Trunk> trunk_;
    std::unique_ptr<Heads> heads_;
    std::optional<FlatTensors> flat_;
    Pass pass_;
};

}  // namespace thresher
