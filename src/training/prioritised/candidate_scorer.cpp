#include "src/training/prioritised/candidate_scorer.hpp"

#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <limits>

#include "src/acquisition/acquisition.hpp"
#include "src/base/check.hpp"
#include "src/models/model_mode.hpp"
#include "src/models/tensors.hpp"

namespace thresher {

namespace {

/// Rows a forward pass: enough to keep a processor busy, few enough to stay in its caches.
constexpr std::int64_t kMicroBatch = 256;

}  // namespace

CandidateScorer::CandidateScorer(const Method& method, const Scorers& scorers, const PoolInfo& pool)
    : method_(method), scorers_(scorers) {
    THRESHER_CHECK_AS(UsageError, !needs_online(method) || scorers.online != nullptr,
                      "method {} scores with an online model, but there is none; give --online",
                      method.name);
    THRESHER_CHECK_AS(UsageError,
                      !needs_reference(method) || scorers.reference != nullptr ||
                          !scorers.reference_losses.empty(),
                      "method {} scores with a reference model, but there is none; give "
                      "--reference, or --reference-losses",
                      method.name);
    for (const Model* model : {scorers.online, scorers.reference}) {
        if (model != nullptr) {
            check_fits(model->spec(), pool, "a model that scores");
            readers_.emplace_back(model->spec(), pool.element_type, pool.scale, model->device());
        } else {
            readers_.emplace_back(ModelSpec{}, pool.element_type, pool.scale, "cpu");
        }
    }
}

void CandidateScorer::score(const Examples& candidates, std::span<const std::int64_t> positions,
                            std::span<const RowRange> pieces, std::span<float> scores) {
    PredictionView view;
    view.ids = candidates.ids;
    view.targets = candidates.targets;
    if (needs_online(method_)) {
        online_losses_.resize(scores.size());
        online_flops_ += losses(*scorers_.online, readers_[0], candidates, pieces, online_losses_);
        view.losses["learner"] = online_losses_;
    }
    if (needs_reference(method_)) {
        reference_losses_.resize(scores.size());
        if (scorers_.reference_losses.empty()) {
            reference_flops_ +=
                losses(*scorers_.reference, readers_[1], candidates, pieces, reference_losses_);
        } else {
            for (std::size_t i = 0; i < positions.size(); ++i) {
                reference_losses_[i] =
                    scorers_.reference_losses[static_cast<std::size_t>(positions[i])];
            }
        }
        view.losses["reference"] = reference_losses_;
    }
    find_acquisition(method_.acquisition).score(view, scores);
}

double CandidateScorer::losses(Model& model, const InputReader& reader, const Examples& candidates,
                               std::span<const RowRange> pieces, std::span<float> out) const {
    const c10::NoGradGuard no_grad;
    const ModelMode eval(model, false);
    const double flops_before = model.forward_flops();
    const std::int64_t classes = model.spec().classes;
    const auto row_bytes = static_cast<std::size_t>(reader.bytes_per_row());
    const auto known = [&](std::int64_t target) { return target >= 0 && target < classes; };
    std::vector<std::int64_t> targets(candidates.targets);
    for (std::int64_t& target : targets) target = known(target) ? target : 0;
    for (const RowRange& piece : pieces) {
        for (std::int64_t begin = piece.begin; begin < piece.end; begin += kMicroBatch) {
            const std::int64_t rows = std::min(kMicroBatch, piece.end - begin);
            const at::Tensor inputs =
                reader.read(std::span(candidates.inputs)
                                .subspan(static_cast<std::size_t>(begin) * row_bytes,
                                         static_cast<std::size_t>(rows) * row_bytes));
            const at::Tensor target =
                at::from_blob(targets.data() + begin, {rows}, at::TensorOptions(at::kLong))
                    .to(inputs.device());
            const at::Tensor loss = at::cross_entropy_loss(model.forward(inputs).logits, target, {},
                                                           at::Reduction::None)
                                        .cpu()
                                        .contiguous();
            std::copy_n(loss.const_data_ptr<float>(), rows, out.begin() + begin);
        }
    }
    for (std::size_t i = 0; i < out.size(); ++i) {
        if (!known(candidates.targets[i])) out[i] = std::numeric_limits<float>::quiet_NaN();
    }
    return model.forward_flops() - flops_before;
}

}  // namespace thresher
