#pragma once

// Runs models over blocks. A row's prediction never depends on the rank, the number of ranks or the
// rows before its block: blocks are aligned to global rows and cut into micro-batches of fixed
// size.

#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "src/detection/found_boxes.hpp"
#include "src/models/mask_keys.hpp"
#include "src/models/model.hpp"
#include "src/pool/example_source.hpp"
#include "src/pool/quarantine.hpp"

namespace thresher {

/// Predictions for the rows of one block, in buffers that are reused from call to call.
struct Predictions {
    RowRange rows;
    std::int64_t samples = 0, classes = 0;  ///< S and C
    std::int64_t embedding_size = 0;        ///< d
    std::vector<float> log_probs;           ///< [n, S, C]; empty unless asked for
    std::vector<float> embeddings;          ///< [n, d]; empty unless asked for
    std::map<std::string, std::vector<float>>
        losses;  ///< role -> [n]; NaN where there is no usable target
    BoxShape box_shape;
    std::vector<float> box_log_probs, box_scores, box_flips, box_discrepancies;  ///< of FoundBoxes
    /// Rows of this block without a usable target, or of which a model made no number.
    std::vector<QuarantinedRow> quarantined;

    FoundBoxes found() const {
        return {box_shape, box_log_probs, box_scores, box_flips, box_discrepancies};
    }
};

/// The models a predictor may use; null where there is none. Its constructor alone reads them.
struct ModelRoles {
    const Model* learner = nullptr;
    const Model* reference = nullptr;
    const Model* online = nullptr;
    std::vector<const Model*> ensemble{};  ///< in the order of their samples
};

struct PredictorOptions {
    std::vector<std::string> strategies{
        "deterministic"};           ///< several share one forward pass a model
    std::int64_t micro_batch = 0;   ///< rows a forward pass; 0 = chosen for the model
    std::int64_t samples = 0;       ///< passes of monte-carlo; 0 = kDefaultSamples
    bool consistent_masks = false;  ///< monte-carlo: one mask a pass, for all rows of the pool
    std::int64_t boxes = 0;         ///< boxes: the best of an image; 0 = kDefaultBoxes
    bool box_flips = false;         ///< boxes: also look at the mirrored images
    std::uint64_t seed = 0;         ///< monte-carlo
    std::uint32_t round = 0;        ///< monte-carlo: another round draws other masks
};

/// Passes of monte-carlo where none are asked for.
inline constexpr std::int64_t kDefaultSamples = 20;
/// Boxes of an image that strategy boxes keeps where no number is asked for.
inline constexpr std::int64_t kDefaultBoxes = 20;

/// What predict() will fill, known before the first block.
struct PredictionsShape {
    std::int64_t samples = 0, classes = 0;  ///< S and C; 0 where there are no log-probabilities
    std::int64_t embedding_size = 0;        ///< d; 0 where there are no embeddings
    std::vector<std::string> loss_roles;    ///< "learner", "reference", "online"; "predicted"
    /// Sample s of every row is made by one model: no row has masks of its own.
    bool consistent_samples = true;
    BoxShape boxes{};

    std::int64_t bytes_per_row() const {
        return 4 * (samples * classes + embedding_size + std::ssize(loss_roles) + boxes.numbers());
    }
};

class Predictor {
  public:
    /// Takes scoring forms of the models at once: later changes of a model do not show, and scoring
    /// never changes a model. Throws UsageError where a strategy is unknown, lacks its model or
    /// does not go with another one, where the pool lacks targets or a model lacks the dropout or
    /// the embedding that a strategy needs; Error where a model does not fit the pool.
    Predictor(const ModelRoles& models, const PoolInfo& pool, const PredictorOptions& options);
    ~Predictor();

    const PredictionsShape& shape() const { return shape_; }
    /// Rows a forward pass, of the model that takes most.
    std::int64_t micro_batch() const;

    /// Fills `predictions` for the rows of `block`. Local.
    void predict(const Block& block, Predictions& predictions);

    /// Floating-point operations so far, by role.
    std::map<std::string, double> flops() const;

  private:
    struct Role;

    /// Why losses of a row cannot be had; empty where they can.
    std::string without_loss(const Block& block, std::size_t row) const;

    std::vector<std::unique_ptr<Role>> roles_;
    PredictionsShape shape_;
    MaskKeys keys_;
    /// The fewest classes of a model that makes losses: targets must be below.
    std::int64_t loss_classes_ = std::numeric_limits<std::int64_t>::max();
    bool class_losses_ = false, pair_losses_ = false;  ///< what losses are made of
};

}  // namespace thresher
