#include "src/strategy/predictor.hpp"

#include <ATen/core/Tensor.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <cstring>

#include "src/base/check.hpp"
#include "src/models/input_reader.hpp"
#include "src/models/tensors.hpp"
#include "src/strategy/log_softmax.hpp"
#include "src/strategy/strategy.hpp"

namespace thresher {
namespace {

/// Rows a forward pass: few enough that activations stay in cache on a CPU, many enough that a GPU
/// is full.
constexpr std::int64_t kMicroBatch = 64;
constexpr std::int64_t kMicroBatchVectors = 256;
constexpr std::int64_t kMicroBatchGpu = 512;

std::int64_t default_micro_batch(const Model& model) {
    if (model.device() != "cpu") return kMicroBatchGpu;
    return model.spec().name == "mlp" ? kMicroBatchVectors : kMicroBatch;
}

/// The model's normalisation, for elements in the pool's units.
ModelSpec in_units_of(ModelSpec spec, const PoolInfo& pool) {
    spec.scale = pool.scale;
    return spec;
}

void copy_logits(const at::Tensor& logits, std::span<float> out) {
    const at::Tensor plain = logits.cpu().to(at::kFloat).contiguous();
    std::memcpy(out.data(), plain.const_data_ptr<float>(), out.size_bytes());
}

}  // namespace

struct Predictor::Role {
    std::string name;
    std::unique_ptr<Model> model;
    InputReader reader;
    std::int64_t micro_batch;
    bool wants_log_probs = false, wants_losses = false;
    std::vector<float> scratch;  ///< log-probabilities where only losses are asked for

    Role(std::string role, const Model& original, const PoolInfo& pool, std::int64_t rows)
        : name(std::move(role)),
          model(original.scoring_form()),
          reader(in_units_of(original.spec(), pool), pool.element_type, original.device()),
          micro_batch(rows > 0 ? rows : default_micro_batch(original)) {}

    /// Log-probabilities of a block's rows into `out` [rows, classes].
    void run(const Block& block, std::int64_t classes, std::span<float> out) {
        const c10::InferenceMode inference;
        const auto width = static_cast<std::size_t>(classes);
        const auto row_bytes = static_cast<std::size_t>(reader.bytes_per_row());
        const auto rows = static_cast<std::size_t>(block.rows.size());
        const auto step = static_cast<std::size_t>(micro_batch);
        const bool on_cpu = model->device() == "cpu";
        std::vector<at::Tensor> waiting;
        for (std::size_t begin = 0; begin < rows; begin += step) {
            const std::size_t count = std::min(step, rows - begin);
            const auto bytes = block.inputs.subspan(begin * row_bytes, count * row_bytes);
            at::Tensor logits = model->forward(reader.read(bytes)).logits;
            if (!on_cpu) {
                waiting.push_back(std::move(logits));
                continue;
            }
            const auto part = out.subspan(begin * width, count * width);
            copy_logits(logits, part);
            log_softmax_rows(part, classes, part);
        }
        // On a GPU the host runs ahead through the whole block before it waits for any logits.
        for (const at::Tensor& logits : waiting) {
            const auto part = out.first(static_cast<std::size_t>(logits.numel()));
            copy_logits(logits, part);
            log_softmax_rows(part, classes, part);
            out = out.subspan(part.size());
        }
    }
};

Predictor::Predictor(const ModelRoles& models, const PoolInfo& pool,
                     const PredictorOptions& options) {
    THRESHER_CHECK_AS(UsageError, options.micro_batch >= 0,
                      "micro-batch {} is not allowed; give 1 or more rows, or 0 for the default",
                      options.micro_batch);
    const std::pair<std::string_view, const Model*> given[]{
        {"learner", models.learner}, {"reference", models.reference}, {"online", models.online}};
    for (const auto& [name, model] : given) {
        if (model == nullptr) continue;
        check_fits(model->spec(), pool, fmt::format("the {}", name));
        bool wants_log_probs = false, wants_losses = false;
        for (const std::string& strategy_name : options.strategies) {
            const StrategyInfo& strategy = find_strategy(strategy_name);
            if (std::count(strategy.roles.begin(), strategy.roles.end(), name) == 0) continue;
            (strategy.needs_targets ? wants_losses : wants_log_probs) = true;
        }
        if (!wants_log_probs && !wants_losses) continue;
        roles_.push_back(
            std::make_unique<Role>(std::string(name), *model, pool, options.micro_batch));
        roles_.back()->wants_log_probs = wants_log_probs;
        roles_.back()->wants_losses = wants_losses;
        classes_ = std::max(classes_, model->spec().classes);
        if (wants_log_probs) shape_ = {1, model->spec().classes, 0, std::move(shape_.loss_roles)};
        if (wants_losses) shape_.loss_roles.emplace_back(name);
    }
    for (const std::string& strategy_name : options.strategies) {
        const StrategyInfo& strategy = find_strategy(strategy_name);
        const bool has_model = std::any_of(given, std::end(given), [&](const auto& entry) {
            return entry.second != nullptr &&
                   std::count(strategy.roles.begin(), strategy.roles.end(), entry.first) > 0;
        });
        THRESHER_CHECK_AS(UsageError, has_model,
                          "strategy {} needs a model for one of the roles {}; none was given",
                          strategy_name, fmt::join(strategy.roles, ", "));
        THRESHER_CHECK_AS(
            UsageError, !strategy.needs_targets || pool.has_targets,
            "strategy {} needs targets, but pool {} has none; label the pool, or use a "
            "strategy without losses",
            strategy_name, pool.path);
    }
}

Predictor::~Predictor() = default;

void Predictor::predict(const Block& block, Predictions& predictions) {
    const auto rows = static_cast<std::size_t>(block.rows.size());
    predictions.rows = block.rows;
    predictions.samples = 0;
    predictions.classes = 0;
    predictions.log_probs.clear();
    predictions.losses.clear();
    predictions.quarantined.clear();
    std::int64_t fewest_classes = classes_;
    bool any_losses = false;
    for (const auto& role : roles_) {
        const std::int64_t classes = role->model->spec().classes;
        auto& log_probs = role->wants_log_probs ? predictions.log_probs : role->scratch;
        log_probs.resize(rows * static_cast<std::size_t>(classes));
        role->run(block, classes, log_probs);
        if (role->wants_log_probs) {
            predictions.samples = 1;
            predictions.classes = classes;
        }
        if (role->wants_losses) {
            auto& losses = predictions.losses[role->name];
            losses.resize(rows);
            cross_entropy_rows(log_probs, classes, block.targets, losses);
            fewest_classes = std::min(fewest_classes, classes);
            any_losses = true;
        }
    }
    if (!any_losses) return;
    for (std::size_t i = 0; i < rows; ++i) {
        const std::int64_t target = block.targets[i];
        if (target >= 0 && target < fewest_classes) continue;
        predictions.quarantined.push_back(
            {block.ids[i],
             target == -1 ? std::string("no target")
                          : fmt::format("target {} is outside [0, {})", target, fewest_classes)});
    }
}

std::map<std::string, double> Predictor::flops() const {
    std::map<std::string, double> result;
    for (const auto& role : roles_) result[role->name] = role->model->forward_flops();
    return result;
}

}  // namespace thresher
