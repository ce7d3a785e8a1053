#include "src/training/companions.hpp"

#include "src/base/check.hpp"

namespace thresher {

namespace {

Model& online_of(Model& learner, const Companions& companions, const TrainOptions& options) {
    const bool itself = find_method(options.method).learner_scores || companions.online == nullptr;
    return itself ? learner : *companions.online;
}

}  // namespace

Scorers scorers_of(Model& learner, const Companions& companions, const ExampleSource& source,
                   const TrainOptions& options) {
    const auto losses = std::ssize(companions.reference_losses);
    THRESHER_CHECK_AS(UsageError, losses == 0 || losses == source.size(),
                      "there are {} losses of the reference for {} rows", losses, source.size());
    THRESHER_CHECK_AS(UsageError, losses == 0 || options.augment == AugmentKind::none,
                      "losses that are looked up are of rows as they are, but the augmentation "
                      "changes them; give a reference, or leave the augmentation out");
    return {&online_of(learner, companions, options), companions.reference,
            companions.reference_losses};
}

std::vector<Model*> trained_scorers(Model& learner, const Companions& companions,
                                    const TrainOptions& options) {
    const Method& method = find_method(options.method);
    std::vector<Model*> models;
    if (needs_online(method)) models.push_back(&online_of(learner, companions, options));
    if (needs_reference(method) && companions.train_reference) {
        models.push_back(companions.reference);
    }
    return models;
}

}  // namespace thresher
