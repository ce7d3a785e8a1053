#pragma once

// How good a model is on examples whose targets are known. All numbers have the same bits for any
// number of ranks: counts are integers, sums go by block in a fixed tree.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "src/base/collective.hpp"
#include "src/models/model.hpp"
#include "src/pool/example_source.hpp"

namespace thresher {

struct ClassResult {
    std::int64_t support = 0;    ///< rows of this class
    std::int64_t predicted = 0;  ///< rows predicted to be of this class
    std::int64_t correct = 0;    ///< both
    double recall() const { return support > 0 ? double(correct) / double(support) : 0.0; }
    double precision() const { return predicted > 0 ? double(correct) / double(predicted) : 0.0; }
};

struct Evaluation {
    std::int64_t rows = 0;            ///< with a target in range; the only ones that count below
    std::int64_t without_target = 0;  ///< target -1 or out of range
    std::int64_t correct = 0;
    double mean_loss = 0.0;  ///< cross-entropy, natural logarithm
    /// Expected calibration error over 15 bins of equal width of the confidence p = max softmax:
    /// ECE = sum over bins (n_b / n) |accuracy_b - mean p_b|; bin b holds p in (b/15, (b+1)/15]
    /// (Guo et al. 2017).
    double calibration_error = 0.0;
    std::vector<ClassResult> classes;

    double accuracy() const { return rows > 0 ? double(correct) / double(rows) : 0.0; }
};

/// Streams the blocks that the ranks own. The model is not changed. Throws Error where no row has a
/// target. Collective.
Evaluation evaluate(const Model& model, BlockSource& source, Collective& collective);

/// The same for a source that every rank sees as a whole; the ranks share it out. Collective.
Evaluation evaluate(const Model& model, ExampleSource& source, Collective& collective);

/// How well a model that reads captions tells apart classes that it knows by name alone: a class's
/// logit is that of the image and the class's prompt, tokens [classes, L]. Collective.
Evaluation evaluate_zero_shot(const Model& model, std::span<const std::int32_t> prompts,
                              BlockSource& source, Collective& collective);

}  // namespace thresher
