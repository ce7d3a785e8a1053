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
#include "src/models/token_reader.hpp"
#include "src/strategy/alignment.hpp"
#include "src/training/batch_loss.hpp"

namespace thresher {

namespace {

/// Rows a forward pass: enough to keep a processor busy, few enough to stay in its caches.
constexpr std::int64_t kMicroBatch = 256;

std::span<const float> span_of(const at::Tensor& host) {
    return {host.const_data_ptr<float>(), static_cast<std::size_t>(host.numel())};
}

/// Cross-entropy of some rows; NaN where the target is unknown.
void class_losses(const Model& model, const at::Tensor& logits, const Examples& candidates,
                  RowRange rows, std::span<float> out) {
    const auto known = [&](std::int64_t target) {
        return target >= 0 && target < model.spec().classes;
    };
    std::vector<std::int64_t> targets(candidates.targets.begin() + rows.begin,
                                      candidates.targets.begin() + rows.end);
    for (std::int64_t& target : targets) target = known(target) ? target : 0;
    const at::Tensor target =
        at::from_blob(targets.data(), {rows.size()}, at::TensorOptions(at::kLong))
            .to(logits.device());
    const at::Tensor loss =
        at::cross_entropy_loss(logits, target, {}, at::Reduction::None).cpu().contiguous();
    std::copy_n(loss.const_data_ptr<float>(), rows.size(), out.begin());
    for (std::int64_t i = 0; i < rows.size(); ++i) {
        if (known(candidates.targets[static_cast<std::size_t>(rows.begin + i)])) continue;
        out[static_cast<std::size_t>(i)] = std::numeric_limits<float>::quiet_NaN();
    }
}

void pair_losses(Model& model, const at::Tensor& images, const Examples& candidates, RowRange rows,
                 std::span<float> out) {
    const Towers& towers = *model.spec().towers;
    const auto tokens = std::span(candidates.tokens)
                            .subspan(static_cast<std::size_t>(rows.begin * towers.token_length),
                                     static_cast<std::size_t>(rows.size() * towers.token_length));
    const at::Tensor captions =
        model.embed_text(read_tokens(tokens, towers, model.device())).cpu().contiguous();
    const at::Tensor host = images.cpu().contiguous();
    alignment_losses(span_of(host), span_of(captions), tokens, out);
}

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
    const bool both =
        needs_online(method) && needs_reference(method) && scorers.reference != nullptr;
    THRESHER_CHECK_AS(UsageError,
                      !both || scorers.online->spec().towers.has_value() ==
                                   scorers.reference->spec().towers.has_value(),
                      "method {} compares losses of {} and {}, of which one reads captions and the "
                      "other tells classes apart; give two of a kind",
                      method.name, scorers.online->spec().name, scorers.reference->spec().name);
    for (const Model* model : {scorers.online, scorers.reference}) {
        if (model != nullptr) {
            check_fits(model->spec(), pool, "a model that scores");
            check_teaches(pool, model->spec());
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
    for (const RowRange& piece : pieces) {
        for (std::int64_t begin = piece.begin; begin < piece.end; begin += kMicroBatch) {
            const RowRange rows{begin, std::min(begin + kMicroBatch, piece.end)};
            const auto part = out.subspan(static_cast<std::size_t>(rows.begin),
                                          static_cast<std::size_t>(rows.size()));
            const ModelOutputs outputs = model.forward(reader.read(candidates.inputs, rows));
            if (model.spec().towers) {
                pair_losses(model, outputs.embedding, candidates, rows, part);
            } else {
                class_losses(model, outputs.logits, candidates, rows, part);
            }
        }
    }
    return model.forward_flops() - flops_before;
}

}  // namespace thresher
