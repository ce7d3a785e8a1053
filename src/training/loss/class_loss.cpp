#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/GradMode.h>

#include "src/models/input_reader.hpp"
#include "src/models/tensors.hpp"
#include "src/training/loss/batch_loss.hpp"
#include "src/training/row_weights.hpp"

namespace thresher {
namespace {

class ClassLoss final : public BatchLoss {
  public:
    ClassLoss(Model& model, const PoolInfo& pool, const TrainOptions& options)
        : model_(model),
          reader_(model.spec(), pool.element_type, pool.scale, model.device()),
          label_smoothing_(options.label_smoothing) {}

    TrainSums learn(std::size_t, const Examples& own, std::span<const float> weights, RowRange rows,
                    std::int64_t batch_rows) override {
        const c10::AutoGradMode gradients_on(true);
        TrainSums sums;
        const std::int64_t classes = model_.spec().classes;
        std::vector<std::int64_t> targets(own.targets.begin() + rows.begin,
                                          own.targets.begin() + rows.end);
        for (std::int64_t& target : targets) {
            if (target >= 0 && target < classes) continue;
            target = -1;
            ++sums.unlabelled;
        }
        sums.labelled = static_cast<double>(rows.size()) - sums.unlabelled;
        if (!own.clean_targets.empty()) {
            for (std::int64_t row = 0; row < rows.size(); ++row) {
                const std::int64_t truth =
                    own.clean_targets[static_cast<std::size_t>(rows.begin + row)];
                const std::int64_t target = targets[static_cast<std::size_t>(row)];
                if (truth >= 0 && target >= 0 && truth != target) ++sums.noisy;
            }
        }
        const double flops_before = model_.forward_flops();
        const at::Tensor inputs = reader_.read(own.inputs, rows);
        const at::Tensor target =
            at::from_blob(targets.data(), {rows.size()}, at::TensorOptions(at::kLong))
                .to(inputs.device());
        const at::Tensor logits = model_.forward(inputs).logits;
        const at::Tensor loss = weights.empty() ? losses(logits, target, at::Reduction::Sum)
                                                : losses(logits, target, at::Reduction::None)
                                                      .dot(weights_of(weights, rows, inputs));
        loss.div(static_cast<double>(batch_rows)).backward();
        sums.loss = loss.item<double>();
        sums.correct =
            static_cast<double>(logits.detach().argmax(1).eq(target).sum().item<std::int64_t>());
        // A backward pass costs two forward passes: the gradients of inputs, and those of weights.
        sums.flops = 3.0 * (model_.forward_flops() - flops_before);
        return sums;
    }

  private:
    at::Tensor losses(const at::Tensor& logits, const at::Tensor& target,
                      at::Reduction::Reduction reduction) const {
        return at::cross_entropy_loss(logits, target, {}, reduction, -1, label_smoothing_);
    }

    Model& model_;
    InputReader reader_;
    double label_smoothing_;
};

}  // namespace

std::unique_ptr<BatchLoss> make_class_loss(Model& model, const PoolInfo& pool,
                                           const TrainOptions& options) {
    return std::make_unique<ClassLoss>(model, pool, options);
}

}  // namespace thresher
