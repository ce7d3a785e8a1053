#pragma once

// Runs one model over the rows of a block, a micro-batch at a time, for everything that strategies
// want of it.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "src/detection/detect.hpp"
#include "src/models/input_reader.hpp"
#include "src/models/mask_keys.hpp"
#include "src/models/model.hpp"
#include "src/pool/example_source.hpp"

namespace at {
class Tensor;
}

namespace thresher {

/// Where results go; an empty span is not wanted.
struct ModelResults {
    /// Of one pass in eval mode: row i at [i * stride, i * stride + classes). Of a detector, what
    /// is in the image: see presence().
    std::span<float> log_probs;
    std::int64_t stride = 0;
    std::span<float> embeddings;  ///< [n, d], of the same pass
    std::span<float> captions;    ///< [n, d], the embeddings of the captions
    std::span<float> sampled;     ///< log-probabilities [n, samples, classes] of stochastic passes
    std::int64_t samples = 0;
    /// Of a detector: [n, boxes, classes], [n, boxes], [n, boxes], which takes another pass over
    /// the mirrored images, and [n, boxes] of two class heads, all as in FoundBoxes.
    std::span<float> box_log_probs{}, box_scores{}, box_flips{}, box_discrepancies{};
    std::int64_t boxes = 0;
    std::span<float> predicted_losses{};  ///< [n], of a detector with a loss head
};

class ModelRunner {
  public:
    /// Takes the model's scoring form. `micro_batch` 0: chosen for the model.
    ModelRunner(const Model& model, const PoolInfo& pool, std::int64_t micro_batch);

    Model& model() { return *model_; }
    const Model& model() const { return *model_; }
    std::int64_t micro_batch() const { return micro_batch_; }
    /// Of log_probs; of a detector one more than it tells apart.
    std::int64_t classes() const;

    /// Whether it is a detector with two class heads.
    bool has_two_heads() const;
    /// Detections of an image at most; 0 where the model is no detector.
    std::int64_t most_boxes() const;

    /// `keys` say what the masks of stochastic passes depend on; its ids are set here. Local.
    void run(const Block& block, MaskKeys keys, const ModelResults& results);

  private:
    /// What a detector finds in the rows from `begin` on.
    void store_found(const at::Tensor& inputs, ModelOutputs& outputs, std::int64_t begin,
                     const ModelResults& results);

    std::unique_ptr<Model> model_;
    InputReader reader_;
    std::optional<Detect> detect_;  ///< of a detector
    std::int64_t micro_batch_;
};

}  // namespace thresher
