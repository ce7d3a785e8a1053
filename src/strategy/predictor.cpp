#include "src/strategy/predictor.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "src/base/check.hpp"
#include "src/models/token_reader.hpp"
#include "src/strategy/alignment.hpp"
#include "src/strategy/cross_entropy.hpp"
#include "src/strategy/model_runner.hpp"
#include "src/strategy/strategy.hpp"

namespace thresher {
namespace {

bool contains(const std::vector<std::string_view>& list, std::string_view entry) {
    return std::find(list.begin(), list.end(), entry) != list.end();
}

/// A model, its role, and how it is called in messages.
struct GivenModel {
    std::string_view role;
    const Model* model;
    std::string title;
};

std::vector<GivenModel> given_models(const ModelRoles& models) {
    std::vector<GivenModel> given;
    const auto add = [&](std::string_view role, const Model* model) {
        if (model != nullptr) given.push_back({role, model, fmt::format("the {}", role)});
    };
    add("learner", models.learner);
    add("reference", models.reference);
    add("online", models.online);
    for (std::size_t i = 0; i < models.ensemble.size(); ++i) {
        given.push_back(
            {"ensemble", models.ensemble[i], fmt::format("model {} of the ensemble", i + 1)});
    }
    return given;
}

/// Refuses strategies that do not go together, or that lack models, targets or options.
void check_strategies(const std::vector<const StrategyInfo*>& strategies,
                      const std::vector<GivenModel>& models, const PoolInfo& pool,
                      const PredictorOptions& options) {
    THRESHER_CHECK_AS(UsageError, options.micro_batch >= 0,
                      "micro-batch {} is not allowed; give 1 or more rows, or 0 for the default",
                      options.micro_batch);
    THRESHER_CHECK_AS(UsageError, options.samples >= 0,
                      "{} samples were asked for; give 1 or more, or 0 for the default of {}",
                      options.samples, kDefaultSamples);
    std::vector<std::string_view> names, with_log_probs;
    for (const StrategyInfo* strategy : strategies) {
        THRESHER_CHECK_AS(UsageError, !contains(names, strategy->name),
                          "strategy {} was given twice; once is enough", strategy->name);
        names.push_back(strategy->name);
        if (contains(strategy->produces, "log_probs")) with_log_probs.push_back(strategy->name);
        const bool has_model = std::any_of(models.begin(), models.end(), [&](const auto& given) {
            return contains(strategy->roles, given.role);
        });
        THRESHER_CHECK_AS(UsageError, has_model || strategy->roles.empty(),
                          "strategy {} needs a model for one of the roles {}; none was given",
                          strategy->name, fmt::join(strategy->roles, ", "));
        for (const GivenModel& given : models) {
            if (!strategy->needs_targets || !contains(strategy->roles, given.role)) continue;
            if (given.model->spec().detector) continue;  // check_ability() says what it cannot do
            const bool pairs = given.model->spec().towers.has_value();
            THRESHER_CHECK_AS(UsageError, pairs ? pool.token_length > 0 : pool.has_targets,
                              "strategy {} needs {}, but pool {} has none; {}, or use a strategy "
                              "without losses",
                              strategy->name, pairs ? "captions" : "targets", pool.path,
                              pairs ? "give a pool of images and captions" : "label the pool");
        }
    }
    THRESHER_CHECK_AS(UsageError, with_log_probs.size() <= 1,
                      "strategies {} all make log-probabilities, and predictions hold those of "
                      "one; predict once with each",
                      fmt::join(with_log_probs, " and "));
    const bool monte_carlo = contains(names, "monte-carlo");
    THRESHER_CHECK_AS(UsageError, monte_carlo || options.samples == 0,
                      "{} samples were asked for, which are the passes of strategy monte-carlo, "
                      "but the strategy is {}; add monte-carlo, or leave the samples out",
                      options.samples, fmt::join(names, ", "));
    THRESHER_CHECK_AS(UsageError, monte_carlo || !options.consistent_masks,
                      "consistent masks were asked for, which are those of strategy monte-carlo, "
                      "but the strategy is {}; add monte-carlo, or leave them out",
                      fmt::join(names, ", "));
    THRESHER_CHECK_AS(UsageError, options.boxes >= 0,
                      "{} boxes per image were asked for; give 1 or more, or 0 for the default of "
                      "{}",
                      options.boxes, kDefaultBoxes);
    THRESHER_CHECK_AS(UsageError,
                      contains(names, "boxes") || (options.boxes == 0 && !options.box_flips),
                      "boxes per image, or box flips, were asked for, which strategy boxes makes, "
                      "but the strategy is {}; add boxes, or leave them out",
                      fmt::join(names, ", "));
}

/// Refuses a model that cannot do what a strategy wants of it.
void check_ability(Model& model, const GivenModel& given, const StrategyInfo& strategy) {
    const std::string& name = model.spec().name;
    const bool built_in = is_built_in_model(name);
    THRESHER_CHECK_AS(UsageError, !contains(strategy.produces, "log_probs") || !model.spec().towers,
                      "strategy {} needs logits, but {} ({}) embeds images and captions; use "
                      "strategy embedding or loss",
                      strategy.name, given.title, name);
    THRESHER_CHECK_AS(UsageError, strategy.name != "loss" || !model.spec().detector,
                      "strategy loss makes losses of classes, but {} ({}) finds objects; use "
                      "strategy deterministic, embedding or, of one with a loss head, "
                      "predicted-loss",
                      given.title, name);
    THRESHER_CHECK_AS(UsageError, strategy.name != "boxes" || model.spec().detector,
                      "strategy boxes looks at the boxes that a detector finds, but {} ({}) finds "
                      "none; give an ssd, a retinanet or a TorchScript file of a detector, or use "
                      "strategy deterministic",
                      given.title, name);
    THRESHER_CHECK_AS(
        UsageError,
        (strategy.name != "monte-carlo" && !contains(strategy.produces, "embeddings")) ||
            built_in || !model.spec().detector,
        "strategy {} is none for {}, a detector's TorchScript file, which gives boxes "
        "alone; use strategy boxes or deterministic",
        strategy.name, given.title);
    THRESHER_CHECK_AS(UsageError,
                      strategy.name != "predicted-loss" ||
                          (model.spec().detector && model.spec().detector->loss_head),
                      "strategy predicted-loss needs a loss head, but {} ({}) has none; train an "
                      "ssd or retinanet with --loss-head",
                      given.title, name);
    if (strategy.name == "monte-carlo") {
        THRESHER_CHECK_AS(UsageError, model.has_dropout(),
                          "strategy monte-carlo needs dropout, but {} ({}) has none; {}, or use "
                          "strategy ensemble or deterministic",
                          given.title, name,
                          built_in ? "train it with --dropout P, P above 0"
                                   : "script a module with nn.Dropout layers (not a trace, whose "
                                     "mode is fixed)");
    }
    if (contains(strategy.produces, "embeddings")) {
        THRESHER_CHECK_AS(
            UsageError, model.embedding_size() > 0,
            "strategy embedding needs an embedding, but {} ({}) returns its "
            "logits alone; let its forward return a dict with \"logits\" and \"embedding\", "
            "or use a built-in model",
            given.title, name);
    }
}

/// False where a model made no number of a row: the input is none, or the model has diverged.
bool is_number(const Predictions& predictions, std::size_t row) {
    const auto part = [row](const std::vector<float>& values, std::int64_t width) {
        return std::span(values).subspan(row * static_cast<std::size_t>(width),
                                         static_cast<std::size_t>(width));
    };
    const auto log_probs = part(predictions.log_probs, predictions.samples * predictions.classes);
    // A sample that holds a NaN is NaN throughout; -inf is the logarithm of a probability of 0.
    for (std::size_t i = 0; i < log_probs.size();
         i += static_cast<std::size_t>(predictions.classes)) {
        if (std::isnan(log_probs[i])) return false;
    }
    for (const float value : part(predictions.embeddings, predictions.embedding_size)) {
        if (!std::isfinite(value)) return false;
    }
    const BoxShape& boxes = predictions.box_shape;
    const auto scores = part(predictions.box_scores, boxes.most);
    const auto of_boxes = part(predictions.box_log_probs, boxes.most * boxes.classes);
    for (std::size_t i = 0; i < scores.size() && !std::isnan(scores[i]); ++i) {
        if (std::isnan(of_boxes[i * static_cast<std::size_t>(boxes.classes)])) return false;
    }
    return std::none_of(predictions.losses.begin(), predictions.losses.end(),
                        [row](const auto& losses) { return !std::isfinite(losses.second[row]); });
}

}  // namespace

/// A model at work: what is wanted of it, and where its log-probabilities go.
struct Predictor::Role {
    std::string name;
    ModelRunner runner;
    std::int64_t samples = 0;              ///< of Monte-Carlo dropout; 0: none
    std::optional<std::int64_t> sample{};  ///< of the predictions, that one pass in eval mode fills
    bool losses = false, embeddings = false, boxes = false, predicted_losses = false;
    std::vector<float> scratch{};             ///< log-probabilities where only losses are asked for
    std::vector<float> images{}, captions{};  ///< embeddings that losses of pairs are made of
};

Predictor::Predictor(const ModelRoles& models, const PoolInfo& pool,
                     const PredictorOptions& options)
    : keys_{options.seed, options.round, {}, options.consistent_masks} {
    std::vector<const StrategyInfo*> strategies;
    for (const std::string& name : options.strategies) strategies.push_back(&find_strategy(name));
    const std::vector<GivenModel> given = given_models(models);
    check_strategies(strategies, given, pool, options);
    std::int64_t member = 0;
    for (const GivenModel& entry : given) {
        const bool wanted = std::any_of(
            strategies.begin(), strategies.end(),
            [&](const StrategyInfo* strategy) { return contains(strategy->roles, entry.role); });
        if (!wanted) continue;
        check_fits(entry.model->spec(), pool, entry.title);
        auto role = std::make_unique<Role>(
            Role{std::string(entry.role), {*entry.model, pool, options.micro_batch}});
        const std::int64_t classes = role->runner.classes();
        for (const StrategyInfo* strategy : strategies) {
            if (!contains(strategy->roles, entry.role)) continue;
            check_ability(role->runner.model(), entry, *strategy);
            if (strategy->name == "monte-carlo") {
                role->samples = options.samples > 0 ? options.samples : kDefaultSamples;
                shape_.samples = role->samples;
                shape_.consistent_samples = options.consistent_masks;
                shape_.classes = classes;
            } else if (contains(strategy->produces, "log_probs")) {
                THRESHER_CHECK(member == 0 || classes == shape_.classes,
                               "{} tells {} classes apart, but the first has {}; the models of an "
                               "ensemble must have the same classes",
                               entry.title, classes, shape_.classes);
                role->sample = member++;
                shape_.samples = member;
                shape_.classes = classes;
            } else if (contains(strategy->produces, "boxes")) {
                role->boxes = true;
                shape_.boxes = {options.boxes > 0 ? options.boxes : kDefaultBoxes, classes,
                                options.box_flips, role->runner.has_two_heads()};
                THRESHER_CHECK_AS(UsageError, shape_.boxes.most <= role->runner.most_boxes(),
                                  "{} boxes per image were asked for, but {} finds at most {}",
                                  shape_.boxes.most, entry.title, role->runner.most_boxes());
            } else if (contains(strategy->produces, "embeddings")) {
                role->embeddings = true;
                shape_.embedding_size = role->runner.model().embedding_size();
            } else if (contains(strategy->produces, "losses/predicted")) {
                role->predicted_losses = true;
                shape_.loss_roles.emplace_back("predicted");
            } else {
                role->losses = true;
                shape_.loss_roles.emplace_back(entry.role);
                if (entry.model->spec().towers) {
                    pair_losses_ = true;
                } else {
                    class_losses_ = true;
                    loss_classes_ = std::min(loss_classes_, classes);
                }
            }
        }
        roles_.push_back(std::move(role));
    }
}

Predictor::~Predictor() = default;

std::int64_t Predictor::micro_batch() const {
    std::int64_t most = 1;
    for (const auto& role : roles_) most = std::max(most, role->runner.micro_batch());
    return most;
}

void Predictor::predict(const Block& block, Predictions& predictions) {
    const auto rows = static_cast<std::size_t>(block.rows.size());
    const auto sized = [&](std::vector<float>& values, std::int64_t per_row) {
        values.resize(rows * static_cast<std::size_t>(per_row));
        return std::span(values);
    };
    predictions.rows = block.rows;
    predictions.samples = shape_.samples;
    predictions.classes = shape_.classes;
    predictions.embedding_size = shape_.embedding_size;
    const std::span<float> log_probs =
        sized(predictions.log_probs, shape_.samples * shape_.classes);
    const std::span<float> embeddings = sized(predictions.embeddings, shape_.embedding_size);
    const BoxShape& boxes = predictions.box_shape = shape_.boxes;
    const std::span<float> box_log_probs =
        sized(predictions.box_log_probs, boxes.most * boxes.classes);
    const std::span<float> box_scores = sized(predictions.box_scores, boxes.most);
    const std::span<float> box_flips = sized(predictions.box_flips, boxes.flips ? boxes.most : 0);
    const std::span<float> box_discrepancies =
        sized(predictions.box_discrepancies, boxes.discrepancies ? boxes.most : 0);
    predictions.losses.clear();
    predictions.quarantined.clear();
    for (const auto& role : roles_) {
        const std::int64_t classes = role->runner.classes();
        const bool pair_losses = role->losses && role->runner.model().spec().towers;
        ModelResults results;
        if (role->sample) {
            results.log_probs =
                log_probs.subspan(static_cast<std::size_t>(*role->sample * classes));
            results.stride = shape_.samples * shape_.classes;
        } else if (role->losses && !pair_losses) {
            results.log_probs = sized(role->scratch, classes);
            results.stride = classes;
        }
        if (role->embeddings) results.embeddings = embeddings;
        if (role->boxes) {
            results.boxes = boxes.most;
            results.box_log_probs = box_log_probs;
            results.box_scores = box_scores;
            results.box_flips = box_flips;
            results.box_discrepancies = box_discrepancies;
        }
        if (role->predicted_losses) {
            results.predicted_losses = sized(predictions.losses["predicted"], 1);
        }
        if (pair_losses) {
            const std::int64_t size = role->runner.model().embedding_size();
            results.captions = sized(role->captions, size);
            if (!role->embeddings) results.embeddings = sized(role->images, size);
        }
        if (role->samples > 0) {
            results.sampled = log_probs;
            results.samples = role->samples;
        }
        role->runner.run(block, keys_, results);
        if (role->losses) {
            const std::span<float> losses = sized(predictions.losses[role->name], 1);
            if (pair_losses) {
                alignment_losses(results.embeddings, results.captions, block.tokens, losses);
            } else {
                cross_entropy_rows(results.log_probs, classes, block.targets, losses);
            }
        }
    }
    for (std::size_t i = 0; i < rows; ++i) {
        std::string reason = without_loss(block, i);
        if (reason.empty() && !is_number(predictions, i)) reason = "the prediction is no number";
        if (!reason.empty()) predictions.quarantined.push_back({block.ids[i], std::move(reason)});
    }
}

std::string Predictor::without_loss(const Block& block, std::size_t row) const {
    if (pair_losses_) {
        const std::size_t length =
            block.tokens.size() / static_cast<std::size_t>(block.rows.size());
        if (!has_words(block.tokens.subspan(row * length, length))) return "no caption";
    }
    if (!class_losses_) return "";
    const std::int64_t target = block.targets[row];
    if (target >= 0 && target < loss_classes_) return "";
    if (target == -1) return "no target";
    return fmt::format("target {} is outside [0, {})", target, loss_classes_);
}

std::map<std::string, double> Predictor::flops() const {
    std::map<std::string, double> result;
    for (const auto& role : roles_) result[role->name] += role->runner.model().forward_flops();
    return result;
}

}  // namespace thresher
