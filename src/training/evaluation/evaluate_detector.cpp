#include "src/training/evaluation/evaluate_detector.hpp"

#include <ATen/ops/isfinite.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "src/base/agreement.hpp"
#include "src/base/check.hpp"
#include "src/base/tree_sum.hpp"
#include "src/models/input_reader.hpp"
#include "src/models/tensors.hpp"
#include "src/pool/letter_box.hpp"
#include "src/training/loss/detection_loss.hpp"

namespace thresher {
namespace {

/// Images a forward pass.
constexpr std::int64_t kMicroBatch = 16, kMicroBatchGpu = 128;

/// What pixels of the input become pixels of the original image by.
struct WayBack {
    double x = 1.0, y = 1.0;

    static WayBack of(const Block& block, std::size_t row, const PoolInfo& pool) {
        if (block.image_sizes.empty() || pool.input_shape[1] != pool.input_shape[2]) return {};
        const LetterBox box = LetterBox::of(block.image_sizes[2 * row + 1],
                                            block.image_sizes[2 * row], pool.input_shape[1]);
        return {1.0 / box.scale_x, 1.0 / box.scale_y};
    }
};

class Evaluator {
  public:
    Evaluator(const Model& model, const PoolInfo& pool, const DetectOptions& detect)
        : pool_(pool),
          model_(model.scoring_form()),
          reader_(model.spec(), pool.element_type, pool.scale, model.device()),
          detect_(model.spec(), detect) {
        if (detector_kind(model.spec()) != DetectorKind::user) loss_.emplace(model.spec());
    }

    bool has_loss() const { return loss_.has_value(); }

    /// Adds what is in the images of a block; returns the sum of their losses.
    double add(const Block& block, DetectedImages& images) {
        const c10::InferenceMode inference;
        const std::int64_t most =
            model_->device() == "cpu" || !has_loss() ? kMicroBatch : kMicroBatchGpu;
        double loss = 0.0;
        for (std::int64_t begin = 0; begin < block.rows.size(); begin += most) {
            const RowRange rows{begin, std::min(block.rows.size(), begin + most)};
            const ModelOutputs outputs = model_->forward(reader_.read(block.inputs, rows));
            if (loss_) {
                loss += (*loss_)(outputs, boxes_of_rows(block, rows)).sum().item<double>();
            } else {
                check_numbers(outputs, block, rows);
            }
            const std::vector<ImageDetections> found = detect_(outputs);
            for (std::int64_t row = rows.begin; row < rows.end; ++row) {
                const auto i = static_cast<std::size_t>(row);
                const WayBack back = WayBack::of(block, i, pool_);
                images.add(block.ids[i], boxes_of_rows(block, {row, row + 1}),
                           found[static_cast<std::size_t>(row - begin)], back.x, back.y);
            }
        }
        return loss;
    }

  private:
    /// What is no number would be taken for nothing found, and no loss would tell.
    void check_numbers(const ModelOutputs& outputs, const Block& block, RowRange rows) const {
        const at::Tensor usable =
            at::isfinite(outputs.logits).all().logical_and(at::isfinite(outputs.boxes).all());
        THRESHER_CHECK(usable.item<bool>(),
                       "the detector gives scores or boxes that are no numbers for one of the {} "
                       "images from id {} on",
                       rows.size(), block.ids[static_cast<std::size_t>(rows.begin)]);
    }

    std::span<const LabelledBox> boxes_of_rows(const Block& block, RowRange rows) const {
        return block.boxes.subspan(static_cast<std::size_t>(rows.begin * pool_.most_boxes),
                                   static_cast<std::size_t>(rows.size() * pool_.most_boxes));
    }

    PoolInfo pool_;
    std::unique_ptr<Model> model_;
    InputReader reader_;
    Detect detect_;
    std::optional<DetectionLoss> loss_;
};

}  // namespace

DetectionMetricOptions pool_metric(DetectionRule rule) {
    DetectionMetricOptions options;
    options.rule = rule;
    options.voc_pixel = 0.0;
    return options;
}

DetectorEvaluation evaluate_detector(const Model& model, BlockSource& source,
                                     const DetectionMetricOptions& metric,
                                     const DetectOptions& detect, Collective& collective) {
    const PoolInfo& pool = source.info();
    const BlockPartition partition{pool.rows, pool.block_rows, collective.size()};
    DetectedImages images;
    std::vector<double> losses;  // by own block
    bool has_loss = false;
    source.rewind();
    agree(collective, [&] {
        THRESHER_CHECK(model.spec().detector.has_value(),
                       "{} finds no objects, so it cannot be evaluated as a detector; use an "
                       "ssd, a retinanet or a TorchScript file of a detector",
                       model.spec().name);
        THRESHER_CHECK(pool.has_boxes,
                       "pool {} has no boxes, so a detector cannot be evaluated on it; give a pool "
                       "of thresher import voc or coco",
                       pool.path);
        Evaluator evaluator(model, pool, detect);
        has_loss = evaluator.has_loss();
        Block block;
        while (source.next(block)) {
            give_up_if_others_failed(collective);
            losses.push_back(evaluator.add(block, images));
        }
    });
    DetectorEvaluation result;
    std::vector<double> loss(1);
    tree_all_reduce<double>(collective, partition.blocks(),
                            partition.owned_blocks(collective.rank()).begin, losses, loss);
    std::vector<std::int64_t> counts{std::ssize(images.truth().image_ids),
                                     std::ssize(images.truth().boxes),
                                     std::ssize(images.detections().boxes)};
    collective.all_reduce_sum(counts);
    result.images = counts[0];
    result.objects = counts[1];
    result.detections = counts[2];
    if (has_loss) {
        result.mean_loss = loss[0] / static_cast<double>(std::max<std::int64_t>(1, result.images));
    }
    result.metric = measure_detections(images.truth(), images.detections(), model.spec().classes,
                                       metric, collective);
    result.own = std::move(images);
    return result;
}

}  // namespace thresher
