#include "src/training/evaluation/validation.hpp"

#include "src/pool/example_blocks.hpp"
#include "src/training/evaluation/evaluate.hpp"
#include "src/training/evaluation/evaluate_detector.hpp"
#include "src/training/evaluation/retrieval.hpp"

namespace thresher {

std::map<std::string, double> validate(const Model& model, ExampleSource& source,
                                       ContrastiveKind contrastive, Collective& collective) {
    if (model.spec().detector) {
        const DetectorEvaluation result = evaluate_detector(
            model,
            *blocks_of_examples(source, collective.rank(), collective.size(), kImagesInBlock),
            pool_metric(), detect_options(model.spec()), collective);
        return {{"loss", result.mean_loss.value()},
                {"average_precision", result.metric.mean_average_precision}};
    }
    if (!model.spec().towers) {
        const Evaluation result = evaluate(model, source, collective);
        return {{"loss", result.mean_loss}, {"accuracy", result.accuracy()}};
    }
    const Retrieval result =
        evaluate_retrieval(model, *blocks_of_examples(source, collective.rank(), collective.size()),
                           collective, contrastive);
    std::map<std::string, double> values{{"loss", result.mean_loss},
                                         {"alignment", result.alignment}};
    for (std::size_t i = 0; i < kRecallAt.size(); ++i) {
        values["recall_at_" + std::to_string(kRecallAt[i])] = result.recall(i);
    }
    return values;
}

}  // namespace thresher
