#include "src/strategy/model_runner.hpp"

#include <ATen/ops/isfinite.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "src/acquisition/outputs.hpp"
#include "src/detection/mirror.hpp"
#include "src/detection/presence.hpp"
#include "src/models/tensors.hpp"
#include "src/models/token_reader.hpp"
#include "src/strategy/box_outputs.hpp"

namespace thresher {
namespace {

/// Rows a forward pass: few enough that activations stay in cache on a CPU, many enough that a GPU
/// is full.
constexpr std::int64_t kMicroBatch = 64;
constexpr std::int64_t kMicroBatchVectors = 512;
constexpr std::int64_t kMicroBatchGpu = 512;
constexpr std::int64_t kMicroBatchDetector = 16;
constexpr std::int64_t kMicroBatchDetectorGpu = 128;

std::int64_t default_micro_batch(const Model& model) {
    const bool on_cpu = model.device() == "cpu";
    if (model.spec().detector) {
        // What a user's makes of its images, and in what size, nobody knows.
        const bool is_users = detector_kind(model.spec()) == DetectorKind::user;
        return on_cpu || is_users ? kMicroBatchDetector : kMicroBatchDetectorGpu;
    }
    if (!on_cpu) return kMicroBatchGpu;
    return model.spec().name == "mlp" ? kMicroBatchVectors : kMicroBatch;
}

/// A result on its way from the device: row i of `values` goes to [i * stride, i * stride + width).
struct Arrival {
    at::Tensor values;
    std::span<float> to;
    std::int64_t stride;
    std::int64_t classes;  ///< of logits, which become log-probabilities; 0: embeddings
};

void store(const Arrival& arrival) {
    const at::Tensor plain = arrival.values.cpu().to(at::kFloat).contiguous();
    const auto rows = static_cast<std::size_t>(plain.size(0));
    const std::size_t width = static_cast<std::size_t>(plain.numel()) / rows;
    const std::span<const float> from(plain.const_data_ptr<float>(), rows * width);
    const auto put = [&](std::span<const float> values, std::span<float> to) {
        if (arrival.classes > 0) return logits_to_log_probs(values, arrival.classes, to);
        std::copy(values.begin(), values.end(), to.begin());
    };
    const auto stride = static_cast<std::size_t>(arrival.stride);
    if (stride == width) return put(from, arrival.to.first(from.size()));
    for (std::size_t i = 0; i < rows; ++i) {
        put(from.subspan(i * width, width), arrival.to.subspan(i * stride, width));
    }
}

/// Which images have a detector's outputs throughout: NaN would be taken for nothing found.
std::vector<bool> has_numbers(const ModelOutputs& outputs) {
    const auto of_rows = [](const at::Tensor& values) {
        return at::isfinite(values).flatten(1).all(1);
    };
    at::Tensor all = of_rows(outputs.logits).logical_and(of_rows(outputs.boxes));
    if (outputs.head_logits.defined()) {
        for (const std::int64_t head : {0, 1}) {
            all = all.logical_and(of_rows(outputs.head_logits[head]));
        }
    }
    const at::Tensor host = all.cpu();
    const bool* const first = host.const_data_ptr<bool>();
    return std::vector<bool>(first, first + host.numel());
}

/// Row `row` of `all`, which has `width` numbers of each; empty where it is.
std::span<float> row_of(std::span<float> all, std::int64_t row, std::int64_t width) {
    return all.empty() ? all
                       : all.subspan(static_cast<std::size_t>(row * width),
                                     static_cast<std::size_t>(width));
}

}  // namespace

ModelRunner::ModelRunner(const Model& model, const PoolInfo& pool, std::int64_t micro_batch)
    : model_(model.scoring_form()),
      reader_(model.spec(), pool.element_type, pool.scale, model.device()),
      micro_batch_(micro_batch > 0 ? micro_batch : default_micro_batch(model)) {
    if (model.spec().detector) detect_.emplace(model.spec(), detect_options(model.spec()));
}

std::int64_t ModelRunner::classes() const {
    return model_->spec().classes + (model_->spec().detector ? 1 : 0);
}

bool ModelRunner::has_two_heads() const {
    return model_->spec().detector && model_->spec().detector->class_heads == 2;
}

std::int64_t ModelRunner::most_boxes() const {
    return detect_ ? detect_options(model_->spec()).most : 0;
}

void ModelRunner::store_found(const at::Tensor& inputs, ModelOutputs& outputs, std::int64_t begin,
                              const ModelResults& results) {
    const auto on_host = [](const at::Tensor& tensor) {
        return tensor.to(at::kCPU, at::kFloat).contiguous();
    };
    std::vector<bool> usable = has_numbers(outputs);  // all of it is on the device still
    outputs.logits = on_host(outputs.logits);
    if (!results.box_discrepancies.empty()) outputs.head_logits = on_host(outputs.head_logits);
    const std::vector<ImageDetections> found = (*detect_)(outputs);
    std::vector<ImageDetections> mirrored;
    if (!results.box_flips.empty()) {
        constexpr std::int64_t kAcross = 3;  // of n, channels, height, width
        const ModelOutputs seen = model_->forward(inputs.flip({kAcross}));
        mirrored = (*detect_)(seen);
        const std::vector<bool> also = has_numbers(seen);
        for (std::size_t i = 0; i < usable.size(); ++i) usable[i] = usable[i] && also[i];
    }
    const std::int64_t most = results.boxes, size = outputs.logits[0].numel();
    constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
    for (std::size_t i = 0; i < found.size(); ++i) {
        const std::int64_t row = begin + static_cast<std::int64_t>(i);
        if (!results.log_probs.empty()) {
            const auto to =
                results.log_probs.subspan(static_cast<std::size_t>(row * results.stride),
                                          static_cast<std::size_t>(classes()));
            presence(found[i], classes() - 1, to);
            if (!usable[i]) std::fill(to.begin(), to.end(), kNan);
        }
        if (results.box_scores.empty()) continue;
        const BoxOutputs to{row_of(results.box_log_probs, row, most * classes()),
                            row_of(results.box_scores, row, most),
                            row_of(results.box_discrepancies, row, most)};
        const std::span<float> flips = row_of(results.box_flips, row, most);
        std::fill(flips.begin(), flips.end(), kNan);
        if (!usable[i]) {
            store_no_number(to);
            continue;
        }
        const std::int64_t columns = outputs.logits.size(2);
        const auto of_image = [&](const at::Tensor& logits) {
            return std::span(logits.const_data_ptr<float>() + static_cast<std::int64_t>(i) * size,
                             static_cast<std::size_t>(size));
        };
        store_boxes(found[i], of_image(outputs.logits), columns, to);
        if (!to.discrepancies.empty()) {
            store_discrepancies(
                found[i], {of_image(outputs.head_logits[0]), of_image(outputs.head_logits[1])},
                columns, classes(), to.discrepancies);
        }
        if (flips.empty()) continue;
        mirror_disagreement(found[i], mirrored[i],
                            static_cast<double>(model_->spec().input_shape[2]),
                            flips.first(std::min(flips.size(), found[i].scores.size())));
    }
}

void ModelRunner::run(const Block& block, MaskKeys keys, const ModelResults& results) {
    const c10::InferenceMode inference;
    const std::int64_t width = classes(), size = model_->embedding_size();
    const std::int64_t row_bytes = reader_.bytes_per_row();
    std::vector<Arrival> waiting;
    for (std::int64_t begin = 0; begin < block.rows.size(); begin += micro_batch_) {
        const std::int64_t count = std::min(micro_batch_, block.rows.size() - begin);
        /// The part of `all` that belongs to these rows.
        const auto part = [&](auto all, std::int64_t per_row) {
            return all.subspan(static_cast<std::size_t>(begin * per_row));
        };
        const at::Tensor inputs = reader_.read(
            part(block.inputs, row_bytes).first(static_cast<std::size_t>(count * row_bytes)));
        if (!results.log_probs.empty() || !results.embeddings.empty() ||
            !results.box_scores.empty() || !results.predicted_losses.empty()) {
            ModelOutputs outputs = model_->forward(inputs);
            if (detect_ && (!results.log_probs.empty() || !results.box_scores.empty())) {
                store_found(inputs, outputs, begin, results);
            } else if (!results.log_probs.empty()) {
                waiting.push_back({std::move(outputs.logits),
                                   part(results.log_probs, results.stride), results.stride, width});
            }
            if (!results.predicted_losses.empty()) {
                waiting.push_back({outputs.log_loss.expm1().clamp_min(0.0),
                                   part(results.predicted_losses, 1), 1, 0});
            }
            if (!results.embeddings.empty()) {
                waiting.push_back(
                    {std::move(outputs.embedding), part(results.embeddings, size), size, 0});
            }
        }
        if (!results.captions.empty()) {
            const Towers& towers = *model_->spec().towers;
            const auto tokens = part(block.tokens, towers.token_length)
                                    .first(static_cast<std::size_t>(count * towers.token_length));
            waiting.push_back({model_->embed_text(read_tokens(tokens, towers, model_->device())),
                               part(results.captions, size), size, 0});
        }
        if (!results.sampled.empty()) {
            keys.ids =
                block.ids.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(count));
            const at::Tensor logits = model_->sample(inputs, keys, results.samples);
            const std::int64_t stride = results.samples * width;
            waiting.push_back(
                {logits.transpose(0, 1), part(results.sampled, stride), stride, width});
        }
        // On a GPU the host runs ahead through the whole block before it waits for any result.
        if (model_->device() != "cpu") continue;
        for (const Arrival& arrival : waiting) store(arrival);
        waiting.clear();
    }
    for (const Arrival& arrival : waiting) store(arrival);
}

}  // namespace thresher
