#include "src/training/prioritised/candidate_scorer.hpp"

#include <ATen/autocast_mode.h>
#include <ATen/ops/adaptive_avg_pool2d.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "src/acquisition/acquisition.hpp"
#include "src/base/check.hpp"
#include "src/models/model_mode.hpp"
#include "src/models/tensors.hpp"
#include "src/models/token_reader.hpp"
#include "src/strategy/alignment.hpp"
#include "src/training/loss/batch_loss.hpp"

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

std::span<const std::int32_t> tokens_of(const Examples& candidates, RowRange rows,
                                        const Towers& towers) {
    return std::span(candidates.tokens)
        .subspan(static_cast<std::size_t>(rows.begin * towers.token_length),
                 static_cast<std::size_t>(rows.size() * towers.token_length));
}

void pair_losses(Model& model, const at::Tensor& images, const Examples& candidates, RowRange rows,
                 std::span<float> out) {
    const Towers& towers = *model.spec().towers;
    const auto tokens = tokens_of(candidates, rows, towers);
    const at::Tensor captions = model.embed_text(read_tokens(tokens, towers, model.device()))
                                    .to(at::kFloat)
                                    .cpu()
                                    .contiguous();
    const at::Tensor host = images.cpu().contiguous();
    alignment_losses(span_of(host), span_of(captions), tokens, out);
}

/// While it lives, LibTorch computes convolutions and matrix products in bfloat16, if it is to.
class ScoringType {
  public:
    ScoringType(bool bf16, const std::string& device)
        : device_(c10::Device(device).type()),
          before_(at::autocast::is_autocast_enabled(device_)),
          type_before_(at::autocast::get_autocast_dtype(device_)) {
        if (!bf16) return;
        at::autocast::set_autocast_dtype(device_, at::kBFloat16);
        at::autocast::set_autocast_enabled(device_, true);
    }
    ~ScoringType() {
        at::autocast::clear_cache();
        at::autocast::set_autocast_enabled(device_, before_);
        at::autocast::set_autocast_dtype(device_, type_before_);
    }
    ScoringType(const ScoringType&) = delete;
    ScoringType& operator=(const ScoringType&) = delete;

  private:
    c10::DeviceType device_;
    bool before_;
    at::ScalarType type_before_;
};

/// Images [n, c, h, w] with sides scaled by `factor`; each pixel is the mean of those it stands
/// for.
at::Tensor scaled(const at::Tensor& images, double factor) {
    if (factor >= 1.0) return images;
    const auto side = [&](std::int64_t dimension) {
        return std::max<std::int64_t>(
            1, std::llround(factor * static_cast<double>(images.size(dimension))));
    };
    return at::adaptive_avg_pool2d(images, {side(2), side(3)});
}

/// Whether a model takes images of any size: others have weights for every place of one.
bool takes_any_size(const ModelSpec& spec) {
    return (spec.towers ? spec.towers->image : spec.name).starts_with("resnet");
}

/// Runs the model in eval mode, and calls body(rows, its outputs) for some rows at a time. Returns
/// the operations it took.
template <class Body>
double for_each_micro_batch(Model& model, const InputReader& reader, const Examples& candidates,
                            std::span<const RowRange> pieces, const ScoringForm& form,
                            const Body& body) {
    const c10::NoGradGuard no_grad;
    const ModelMode eval(model, false);
    const ScoringType type(form.bf16, model.device());
    const double flops_before = model.forward_flops();
    for (const RowRange& piece : pieces) {
        for (std::int64_t begin = piece.begin; begin < piece.end; begin += kMicroBatch) {
            const RowRange rows{begin, std::min(begin + kMicroBatch, piece.end)};
            ModelOutputs outputs =
                model.forward(scaled(reader.read(candidates.inputs, rows), form.resolution));
            if (outputs.logits.defined()) outputs.logits = outputs.logits.to(at::kFloat);
            if (outputs.embedding.defined()) outputs.embedding = outputs.embedding.to(at::kFloat);
            body(rows, outputs);
        }
    }
    return model.forward_flops() - flops_before;
}

}  // namespace

PairLayout layout_of(const Method& method, const Scorers& scorers) {
    if (!method.joint) return {};
    const auto size = [&](const Model* model, const char* role) {
        THRESHER_CHECK_AS(
            UsageError, model != nullptr && model->spec().towers.has_value(),
            "method {} chooses pairs of image and caption by their embeddings, but "
            "the {} is {}; give a two-tower",
            method.name, role,
            model != nullptr ? "a " + model->spec().name : "no model that can be run");
        return model->embedding_size() + 1;
    };
    return {size(scorers.online, "learner"), size(scorers.reference, "reference")};
}

CandidateScorer::CandidateScorer(const Method& method, const Scorers& scorers, const PoolInfo& pool,
                                 const ScoringForm& form)
    : method_(method), layout_(layout_of(method, scorers)), form_(form), scorers_(scorers) {
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
            THRESHER_CHECK_AS(
                UsageError, !model->spec().detector,
                "method {} scores candidates by losses of classes or of pairs, but {} "
                "finds objects; train it by method uniform",
                method.name, model->spec().name);
            THRESHER_CHECK_AS(
                UsageError, form.resolution >= 1.0 || takes_any_size(model->spec()),
                "scoring-resolution is {}, but a {} takes images of one size; score "
                "with residual networks, or at resolution 1",
                form.resolution,
                model->spec().towers ? model->spec().towers->image : model->spec().name);
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
    if (layout_.joint()) {
        online_flops_ += embeddings(*scorers_.online, readers_[0], candidates, pieces, 0, scores);
        reference_flops_ += embeddings(*scorers_.reference, readers_[1], candidates, pieces,
                                       2 * layout_.online, scores);
        return;
    }
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
    if (form_.clip == 0.0) return;
    const auto most = static_cast<float>(form_.clip);
    for (float& score : scores) {
        if (std::isfinite(score)) score = std::clamp(score, -most, most);
    }
}

double CandidateScorer::losses(Model& model, const InputReader& reader, const Examples& candidates,
                               std::span<const RowRange> pieces, std::span<float> out) const {
    return for_each_micro_batch(
        model, reader, candidates, pieces, form_, [&](RowRange rows, const ModelOutputs& outputs) {
            const auto part = out.subspan(static_cast<std::size_t>(rows.begin),
                                          static_cast<std::size_t>(rows.size()));
            if (model.spec().towers) {
                pair_losses(model, outputs.embedding, candidates, rows, part);
            } else {
                class_losses(model, outputs.logits, candidates, rows, part);
            }
        });
}

double CandidateScorer::embeddings(Model& model, const InputReader& reader,
                                   const Examples& candidates, std::span<const RowRange> pieces,
                                   std::int64_t first, std::span<float> out) const {
    const Towers& towers = *model.spec().towers;
    const auto size = static_cast<std::size_t>(model.embedding_size());
    const PairScale now = model.pair_scale();
    const auto scale = now.scale.item<float>(), bias = now.bias.item<float>();
    const auto stride = static_cast<std::size_t>(layout_.values());
    return for_each_micro_batch(
        model, reader, candidates, pieces, form_, [&](RowRange rows, const ModelOutputs& outputs) {
            const auto tokens = tokens_of(candidates, rows, towers);
            const at::Tensor images = outputs.embedding.mul(scale).cpu().contiguous();
            const at::Tensor captions =
                model.embed_text(read_tokens(tokens, towers, model.device()))
                    .to(at::kFloat)
                    .cpu()
                    .contiguous();
            for (std::size_t i = 0; i < static_cast<std::size_t>(rows.size()); ++i) {
                float* to = out.data() + (static_cast<std::size_t>(rows.begin) + i) * stride +
                            static_cast<std::size_t>(first);
                std::copy_n(images.const_data_ptr<float>() + i * size, size, to);
                to[size] = bias;
                std::copy_n(captions.const_data_ptr<float>() + i * size, size, to + size + 1);
                const auto length = static_cast<std::size_t>(towers.token_length);
                to[2 * size + 1] = has_words(tokens.subspan(i * length, length))
                                       ? 1.0F
                                       : std::numeric_limits<float>::quiet_NaN();
            }
        });
}

}  // namespace thresher
