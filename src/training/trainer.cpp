#include "src/training/trainer.hpp"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty_like.h>
#include <c10/core/GradMode.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "src/base/check.hpp"
#include "src/base/log.hpp"
#include "src/models/model_mode.hpp"
#include "src/models/tensors.hpp"
#include "src/training/actors/actor_feed.hpp"
#include "src/training/batch_gradient.hpp"
#include "src/training/batch_stream.hpp"
#include "src/training/evaluation/validation.hpp"
#include "src/training/optimizer.hpp"
#include "src/training/prioritised/method.hpp"

namespace thresher {
namespace {

/// A model that is being trained.
struct TrainedModel {
    Model& model;
    BatchGradient batch;
    Optimizer optimizer;

    TrainedModel(Model& trained, const PoolInfo& pool, const TrainOptions& options,
                 std::int64_t batch_size, Collective& collective)
        : model(trained),
          batch(trained, pool, options, batch_size, collective),
          optimizer(options, batch.parameters().values(), batch.parameters().matrices()) {}

    /// `made` counts the updates before.
    void update(double learning_rate, std::int64_t made) {
        optimizer.update(batch.parameters().values(), batch.gradient(), learning_rate, made);
    }

    /// What a forward pass in train mode changes beside the gradient.
    std::vector<at::Tensor> running_values() const {
        std::vector<at::Tensor> values{batch.statistics().values().clone()};
        for (const NamedTensor& counter : batch.counters()) {
            values.push_back(counter.tensor.clone());
        }
        return values;
    }
    void restore(const std::vector<at::Tensor>& values) const {
        const c10::NoGradGuard no_grad;
        batch.statistics().values().copy_(values[0]);
        for (std::size_t i = 1; i < values.size(); ++i) {
            batch.counters()[i - 1].tensor.copy_(values[i]);
        }
    }
};

/// Operations by what they were for.
struct Flops {
    double learner = 0.0, online = 0.0, reference = 0.0;
    double score_online = 0.0, score_reference = 0.0;
};

/// The numbers of the state that are no tensors; written as they are.
struct Numbers {
    std::int64_t step = 0;
    std::int64_t best_evaluation = -1;
    std::int64_t stopped_early = 0;
    std::int64_t skipped = 0, skipped_in_a_row = 0;
    double best_loss = std::numeric_limits<double>::infinity();
    double unlabelled = 0.0, without_score = 0.0;
    Flops flops;
    TrainSums since;  ///< the last evaluation
};

/// So many updates in a row are left out at most: beyond, the model is lost.
constexpr std::int64_t kMostSkipped = 10;

/// The learning rate of a reference that is trained beside the learner, against the learner's
/// (Evans et al. 2023).
constexpr double kReferenceRate = 2.0;

}  // namespace

struct Trainer::Body {
    ExampleSource& train;
    ExampleSource* validation;
    TrainOptions options;
    Collective& collective;

    std::unique_ptr<BatchSource> batches;
    std::int64_t steps_per_epoch, steps;
    TrainedModel learner;
    std::unique_ptr<TrainedModel> online, reference;  ///< null where not trained
    Numbers numbers;
    Flops scored;  ///< what scoring took on this rank and is in `numbers` already
    at::Tensor best_parameters, best_statistics;
    TrainCurves curves;
    Phases phases;

    Body(Model& trained, ExampleSource& source, ExampleSource* held_out, const TrainOptions& given,
         Collective& ranks, const Companions& companions, const ActorLink* actors)
        : train(source),
          validation(held_out),
          options(given),
          collective(ranks),
          batches(make_batches(trained, companions, source, given, actors, ranks)),
          steps_per_epoch(batches->steps_per_epoch()),
          steps(given.updates > 0 ? given.updates : given.epochs * steps_per_epoch),
          learner(trained, source.info(), given, batches->batch_size(), ranks),
          best_parameters(learner.batch.parameters().values().clone()),
          best_statistics(learner.batch.statistics().values().clone()) {
        if (!batches->scores()) return;
        for (Model* const model : trained_scorers(trained, companions, given)) {
            const bool is_reference = model == companions.reference;
            if (model == &trained) continue;
            (is_reference ? reference : online) = std::make_unique<TrainedModel>(
                *model, source.info(), given,
                is_reference ? batches->super_batch() : batches->batch_size(), ranks);
        }
    }

    static std::unique_ptr<BatchSource> make_batches(Model& trained, const Companions& companions,
                                                     ExampleSource& source,
                                                     const TrainOptions& options,
                                                     const ActorLink* actors, Collective& ranks) {
        if (actors == nullptr) {
            return std::make_unique<BatchStream>(trained, companions, source, options, ranks);
        }
        return std::make_unique<ActorFeed>(trained, companions, source, options, *actors, ranks);
    }

    TrainEnd run(const std::function<bool(const TrainProgress&)>& after_step) {
        const ModelMode training(learner.model, true);
        const auto train_mode = [](const auto& trained) {
            return trained ? std::make_unique<ModelMode>(trained->model, true) : nullptr;
        };
        const auto online_mode = train_mode(online), reference_mode = train_mode(reference);
        batches->updated(numbers.step, steps, phases);
        while (numbers.step < steps && numbers.stopped_early == 0) {
            const TrainProgress progress = update();
            if (after_step && !after_step(progress)) return TrainEnd::interrupted;
        }
        if (numbers.best_evaluation >= 0) {
            learner.batch.parameters().values().copy_(best_parameters);
            learner.batch.statistics().values().copy_(best_statistics);
        }
        return numbers.stopped_early != 0 ? TrainEnd::early_stop : TrainEnd::finished;
    }

    TrainProgress update() {
        const std::int64_t step = numbers.step, epoch = step / steps_per_epoch;
        const Batch batch = batches->next(step, steps, phases);
        const double rate = learning_rate_at(options, step, steps, steps_per_epoch);
        const TrainSums sums = learn(batch, step, rate);
        const double loss = sums.loss / std::max(1.0, sums.labelled);
        curves.steps["loss"].push_back(loss);
        curves.steps["learning_rate"].push_back(rate);
        if (learner.model.spec().towers ? train.info().has_caption_of
                                        : train.info().has_clean_targets) {
            curves.steps["noisy_share"].push_back(sums.noisy / std::max(1.0, sums.labelled));
        }
        if (batches->scores()) {
            curves.steps["candidate_score"].push_back(batch.candidate_score);
            curves.steps["chosen_score"].push_back(batch.chosen_score);
            numbers.without_score += static_cast<double>(batch.without_score);
        }
        note_staleness(batch);
        numbers.step = step + 1;
        batches->updated(numbers.step, steps, phases);
        const bool evaluated = numbers.step == steps ||
                               numbers.step % (options.evaluate_every > 0 ? options.evaluate_every
                                                                          : steps_per_epoch) ==
                                   0;
        if (evaluated) evaluate_now();
        return {numbers.step, steps, epoch,    (steps + steps_per_epoch - 1) / steps_per_epoch,
                loss,         rate,  evaluated};
    }

    /// A run may go on with actors, or without: what ranks score for themselves is never behind.
    void note_staleness(const Batch& batch) {
        if (!batches->has_staleness() && curves.steps.count("staleness") == 0) return;
        std::vector<double>& staleness = curves.steps["staleness"];
        staleness.resize(static_cast<std::size_t>(numbers.step), 0.0);
        staleness.push_back(batch.staleness);
    }

    /// Updates the models that are trained; returns the sums of the learner.
    TrainSums learn(const Batch& batch, std::int64_t step, double rate) {
        const std::array<TrainedModel*, 3> models{&learner, online.get(), reference.get()};
        std::array<TrainSums, 3> sums;
        std::array<std::vector<at::Tensor>, 3> before;
        std::string diverged;
        for (std::size_t i = 0; i < models.size(); ++i) {
            if (models[i] == nullptr) continue;
            before[i] = models[i]->running_values();
            const bool all = models[i] == reference.get();
            const Examples& own = all ? *batch.own_candidates : *batch.own;
            sums[i] = models[i]->batch.compute(
                own, all ? std::span<const float>() : std::span<const float>(batch.weights),
                all ? batch.candidates : batch.rows, step, phases);
            const auto gradient = models[i]->batch.gradient().sum().item<double>();
            if (!diverged.empty() || (std::isfinite(sums[i].loss) && std::isfinite(gradient)))
                continue;
            diverged = describe_divergence(i, own, sums[i], step, rate);
        }
        const bool skip = options.skip_nan && numbers.skipped_in_a_row < kMostSkipped;
        if (!diverged.empty()) {
            for (std::size_t i = 0; i < models.size(); ++i) {
                if (models[i] != nullptr) models[i]->restore(before[i]);
            }
            if (!skip) {
                throw Diverged(
                    diverged +
                    "; train with a lower learning rate or a longer warm-up, or leave such "
                    "updates out with --on-nan skip (no more than ten in a row)");
            }
            if (collective.is_root()) log::warn("{}; the update is left out", diverged);
        }
        numbers.flops.learner += sums[0].flops;
        numbers.flops.online += sums[1].flops;
        numbers.flops.reference += sums[2].flops;
        add_scoring_flops();
        if (!diverged.empty()) {
            ++numbers.skipped;
            ++numbers.skipped_in_a_row;
            return sums[0];
        }
        numbers.skipped_in_a_row = 0;
        const auto timer = phases.time("update");
        for (TrainedModel* trained : models) {
            if (trained == nullptr) continue;
            trained->update(trained == reference.get() ? kReferenceRate * rate : rate,
                            step - numbers.skipped);
        }
        numbers.since.loss += sums[0].loss;
        numbers.since.correct += sums[0].correct;
        numbers.since.labelled += sums[0].labelled;
        numbers.unlabelled += sums[0].unlabelled;
        return sums[0];
    }

    void add_scoring_flops() {
        if (!batches->scores()) return;
        std::array<double, 2> flops{batches->online_flops() - scored.score_online,
                                    batches->reference_flops() - scored.score_reference};
        scored.score_online += flops[0];
        scored.score_reference += flops[1];
        collective.all_reduce_sum(std::span<double>(flops));
        numbers.flops.score_online += flops[0];
        numbers.flops.score_reference += flops[1];
    }

    /// What happened, with the ids that the model of this place among the trained ones had before
    /// it. Collective.
    std::string describe_divergence(std::size_t place, const Examples& own, const TrainSums& sums,
                                    std::int64_t step, double rate) {
        constexpr std::array kNames{"learner", "online model", "reference"};
        constexpr std::ptrdiff_t kMostShown = 128;
        const std::vector<std::int64_t> ids =
            collective.all_gather_v(std::span<const std::int64_t>(own.ids)).values;
        const auto shown = std::min(std::ssize(ids), kMostShown);
        const double loss = sums.loss / std::max(1.0, sums.labelled);
        return fmt::format(
            "the {} has a loss of {} or a gradient that is not finite at update {} (epoch {}, "
            "learning rate {:.3g}), of the ids {}{}",
            kNames[place], std::isnan(loss) ? "nan" : fmt::format("{:.4g}", loss), step,
            step / steps_per_epoch, rate, fmt::join(ids.begin(), ids.begin() + shown, ", "),
            std::ssize(ids) > shown ? ", ..." : "");
    }

    void evaluate_now() {
        const double labelled = std::max(1.0, numbers.since.labelled);
        auto& values = curves.evaluations;
        values["update"].push_back(static_cast<double>(numbers.step));
        values["train_loss"].push_back(numbers.since.loss / labelled);
        values["train_accuracy"].push_back(numbers.since.correct / labelled);
        numbers.since = TrainSums{};
        if (validation == nullptr) return;
        const auto timer = phases.time("evaluate");
        const auto result = validate(learner.model, *validation, options.contrastive, collective);
        for (const auto& [name, value] : result) values["validation_" + name].push_back(value);
        if (options.patience == 0) return;
        const auto evaluation = std::ssize(values["update"]) - 1;
        if (result.at("loss") < numbers.best_loss) {
            numbers.best_loss = result.at("loss");
            numbers.best_evaluation = evaluation;
            best_parameters.copy_(learner.batch.parameters().values());
            best_statistics.copy_(learner.batch.statistics().values());
        } else if (evaluation - numbers.best_evaluation >= options.patience) {
            numbers.stopped_early = 1;
        }
    }

    /// Calls visit(name, tensor) for every tensor of the state.
    template <class Visit>
    void visit_tensors(const Visit& visit) {
        const auto visit_model = [&](const std::string& prefix, TrainedModel& trained) {
            visit(prefix + "parameters", trained.batch.parameters().values());
            visit(prefix + "statistics", trained.batch.statistics().values());
            visit(prefix + "moments", trained.optimizer.moments());
            for (const NamedTensor& counter : trained.batch.counters()) {
                visit(prefix + "counters/" + counter.name, counter.tensor);
            }
        };
        visit_model("", learner);
        if (online) visit_model("online/", *online);
        if (reference) visit_model("reference/", *reference);
        visit("best/parameters", best_parameters);
        visit("best/statistics", best_statistics);
    }
};

namespace {

/// A named tensor's bytes in the state.
void put_tensor(TrainState& state, const std::string& name, const at::Tensor& tensor) {
    const at::Tensor host = tensor.cpu().contiguous();
    put(state, name,
        std::span<const std::byte>(static_cast<const std::byte*>(host.const_data_ptr()),
                                   host.nbytes()));
}

void take_tensor(const TrainState& state, const std::string& name, const at::Tensor& tensor) {
    const c10::NoGradGuard no_grad;
    const at::Tensor host = at::empty_like(tensor, at::kCPU);
    take(state, name,
         std::span<std::byte>(static_cast<std::byte*>(host.mutable_data_ptr()), host.nbytes()));
    tensor.copy_(host);
}

}  // namespace

Trainer::Trainer(Model& model, ExampleSource& train, ExampleSource* validation,
                 const TrainOptions& options, Collective& collective, const Companions& companions,
                 const ActorLink* actors) {
    check_options(options);
    THRESHER_CHECK(train.size() > 0, "pool {} has no rows to train on", train.info().path);
    check_teaches(train.info(), model.spec());
    THRESHER_CHECK_AS(UsageError, options.patience == 0 || validation != nullptr,
                      "patience {} needs a validation pool to watch; give one, or patience 0",
                      options.patience);
    THRESHER_CHECK_AS(UsageError, !companions.train_reference || companions.reference != nullptr,
                      "a reference is to be trained, but there is none");
    check_fits(model.spec(), train.info(), "the model");
    if (find_method(options.method).joint && companions.reference != nullptr &&
        companions.reference->spec().towers && !companions.train_reference) {
        THRESHER_CHECK_AS(UsageError,
                          companions.reference->pair_scale().bias.item<double>() != kFirstPairBias,
                          "method {} compares sigmoid losses, but the reference was not trained by "
                          "that loss (its bias is still {}); train it with --contrastive sigmoid",
                          options.method, kFirstPairBias);
    }
    if (validation != nullptr) {
        check_fits(model.spec(), validation->info(), "the model");
        check_teaches(validation->info(), model.spec());
    }
    body_ =
        std::make_unique<Body>(model, train, validation, options, collective, companions, actors);
}

Trainer::~Trainer() = default;

TrainEnd Trainer::run(const std::function<bool(const TrainProgress&)>& after_step) {
    return body_->run(after_step);
}

TrainState Trainer::export_state() const {
    TrainState state;
    body_->visit_tensors([&](const std::string& name, const at::Tensor& tensor) {
        put_tensor(state, name, tensor);
    });
    put(state, "numbers", std::span<const Numbers>(&body_->numbers, 1));
    for (const auto& [name, curve] : body_->curves.steps) {
        put(state, "curves/steps/" + name, std::span<const double>(curve));
    }
    for (const auto& [name, curve] : body_->curves.evaluations) {
        put(state, "curves/evaluations/" + name, std::span<const double>(curve));
    }
    return state;
}

void Trainer::import_state(const TrainState& state) {
    // The numbers come first: they fail on a state of another kind before anything has changed.
    Numbers numbers;
    take(state, "numbers", std::span<Numbers>(&numbers, 1));
    body_->visit_tensors([&](const std::string& name, const at::Tensor& tensor) {
        take_tensor(state, name, tensor);
    });
    body_->numbers = numbers;
    body_->curves = {};
    const auto take_curves = [&](const std::string& prefix, auto& curves) {
        for (const auto& [name, bytes] : state) {
            if (name.compare(0, prefix.size(), prefix) != 0) continue;
            auto& curve = curves[name.substr(prefix.size())];
            curve.resize(bytes.size() / sizeof(double));
            take(state, name, std::span<double>(curve));
        }
    };
    take_curves("curves/steps/", body_->curves.steps);
    take_curves("curves/evaluations/", body_->curves.evaluations);
}

std::int64_t Trainer::candidates_per_update() const { return body_->batches->super_batch(); }
std::int64_t Trainer::rows_per_update() const { return body_->batches->batch_size(); }
const TrainCurves& Trainer::curves() const { return body_->curves; }
std::int64_t Trainer::steps_done() const { return body_->numbers.step; }
std::int64_t Trainer::steps_planned() const { return body_->steps; }
std::int64_t Trainer::rows_without_target() const {
    return static_cast<std::int64_t>(body_->numbers.unlabelled);
}
std::int64_t Trainer::candidates_without_score() const {
    return static_cast<std::int64_t>(body_->numbers.without_score);
}
std::int64_t Trainer::skipped_updates() const { return body_->numbers.skipped; }
std::map<std::string, double> Trainer::flops() const {
    const Flops& flops = body_->numbers.flops;
    std::map<std::string, double> result{{"learner", flops.learner}};
    if (!body_->batches->scores()) return result;
    if (body_->online) result["online"] = flops.online;
    if (body_->reference) result["reference"] = flops.reference;
    if (flops.score_online > 0.0) result["score_online"] = flops.score_online;
    if (flops.score_reference > 0.0) result["score_reference"] = flops.score_reference;
    return result;
}
std::map<std::string, double> Trainer::costs() const { return body_->batches->costs(); }
const Phases& Trainer::phases() const { return body_->phases; }

}  // namespace thresher
