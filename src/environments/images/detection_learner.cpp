#include "src/environments/images/detection_learner.hpp"

#include <c10/core/GradMode.h>

#include <algorithm>
#include <utility>

#include "src/base/check.hpp"

namespace thresher {

void copy_tensors(const Model& from, const Builder& to) {
    const c10::NoGradGuard no_grad;
    for (const auto& [source, target] :
         {std::pair{from.parameters(), to.parameters}, std::pair{from.buffers(), to.buffers}}) {
        for (const NamedTensor& entry : target) {
            const auto found =
                std::find_if(source.begin(), source.end(),
                             [&](const NamedTensor& other) { return other.name == entry.name; });
            THRESHER_CHECK(found != source.end(), "the detector has no tensor {}", entry.name);
            NamedTensor(entry).tensor.copy_(found->tensor);
        }
    }
}

DetectionLearner::DetectionLearner(const ModelSpec& spec, std::uint64_t seed, bool whole,
                                   const Model* start)
    : builder_(seed) {
    if (whole) {
        builder_.scope = "trunk.";
        trunk_ = make_trunk(spec, builder_);
    }
    builder_.scope = "heads.";
    heads_ = make_heads(spec, builder_);
    if (start != nullptr) copy_tensors(*start, builder_);
    flat_.emplace(trainable(builder_.parameters));
}

ModelOutputs DetectionLearner::forward(const Features& features, bool training) {
    pass_.training = training;
    return (*heads_)(trunk_ ? (*trunk_)(features.front(), pass_) : features, pass_);
}

void DetectionLearner::approach(DetectionLearner& other, double rate) {
    flat_->values().lerp_(other.flat_->values(), rate);
    for (std::size_t i = 0; i < builder_.buffers.size(); ++i) {
        builder_.buffers[i].tensor.copy_(other.builder_.buffers[i].tensor);
    }
}

}  // namespace thresher
