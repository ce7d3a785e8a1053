#include "src/strategy/model_runner.hpp"

#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <vector>

#include "src/acquisition/outputs.hpp"
#include "src/detection/presence.hpp"
#include "src/models/tensors.hpp"
#include "src/models/token_reader.hpp"

namespace thresher {
namespace {

/// Rows a forward pass: few enough that activations stay in cache on a CPU, many enough that a GPU
/// is full.
constexpr std::int64_t kMicroBatch = 64;
constexpr std::int64_t kMicroBatchVectors = 512;
constexpr std::int64_t kMicroBatchGpu = 512;
constexpr std::int64_t kMicroBatchDetector = 16;

std::int64_t default_micro_batch(const Model& model) {
    if (model.device() != "cpu") return kMicroBatchGpu;
    if (model.spec().detector) return kMicroBatchDetector;
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
        if (!results.log_probs.empty() || !results.embeddings.empty()) {
            ModelOutputs outputs = model_->forward(inputs);
            if (!results.log_probs.empty() && detect_) {
                const std::span<float> to = part(results.log_probs, results.stride);
                std::int64_t row = 0;
                for (const ImageDetections& found : (*detect_)(outputs)) {
                    presence(found, width - 1,
                             to.subspan(static_cast<std::size_t>(row++ * results.stride),
                                        static_cast<std::size_t>(width)));
                }
            } else if (!results.log_probs.empty()) {
                waiting.push_back({std::move(outputs.logits),
                                   part(results.log_probs, results.stride), results.stride, width});
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
