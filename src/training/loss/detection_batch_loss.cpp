#include <c10/core/GradMode.h>

#include "src/base/check.hpp"
#include "src/models/input_reader.hpp"
#include "src/models/tensors.hpp"
#include "src/training/loss/batch_loss.hpp"
#include "src/training/loss/detection_loss.hpp"
#include "src/training/row_weights.hpp"

namespace thresher {
namespace {

class DetectionBatchLoss final : public BatchLoss {
  public:
    DetectionBatchLoss(Model& model, const PoolInfo& pool, const TrainOptions& options)
        : model_(model),
          reader_(model.spec(), pool.element_type, pool.scale, model.device()),
          loss_(model.spec()),
          most_boxes_(pool.most_boxes) {
        THRESHER_CHECK_AS(UsageError, options.label_smoothing == 0.0,
                          "label smoothing is {}, but {} learns boxes and no labels; allowed: 0",
                          options.label_smoothing, model.spec().name);
    }

    TrainSums learn(std::size_t, const Examples& own, std::span<const float> weights, RowRange rows,
                    std::int64_t batch_rows) override {
        const c10::AutoGradMode gradients_on(true);
        TrainSums sums;
        sums.labelled = static_cast<double>(rows.size());
        const double flops_before = model_.forward_flops();
        const ModelOutputs outputs = model_.forward(reader_.read(own.inputs, rows));
        const at::Tensor losses =
            loss_(outputs,
                  std::span(own.boxes).subspan(static_cast<std::size_t>(rows.begin * most_boxes_),
                                               static_cast<std::size_t>(rows.size() * most_boxes_)),
                  &sums.correct);
        const auto sum_of = [&](const at::Tensor& values) {
            return weights.empty() ? values.sum() : values.dot(weights_of(weights, rows, values));
        };
        const at::Tensor loss = sum_of(losses);
        at::Tensor all = loss;
        if (outputs.log_loss.defined()) {
            all = loss.add(sum_of(outputs.log_loss.sub(losses.detach().log1p()).square()));
        }
        all.div(static_cast<double>(batch_rows)).backward();
        sums.loss = loss.item<double>();
        // A backward pass costs two forward passes: the gradients of inputs, and those of weights.
        sums.flops = 3.0 * (model_.forward_flops() - flops_before);
        return sums;
    }

  private:
    Model& model_;
    InputReader reader_;
    DetectionLoss loss_;
    std::int64_t most_boxes_;
};

}  // namespace

std::unique_ptr<BatchLoss> make_detection_loss(Model& model, const PoolInfo& pool,
                                               const TrainOptions& options) {
    return std::make_unique<DetectionBatchLoss>(model, pool, options);
}

}  // namespace thresher
