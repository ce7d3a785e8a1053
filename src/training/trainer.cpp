#include "src/training/trainer.hpp"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty_like.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "src/base/agreement.hpp"
#include "src/base/check.hpp"
#include "src/models/tensors.hpp"
#include "src/training/augment.hpp"
#include "src/training/batch_gradient.hpp"
#include "src/training/epoch_order.hpp"
#include "src/training/evaluate.hpp"
#include "src/training/optimizer.hpp"

namespace thresher {
namespace {

/// Puts a model into train mode, and back into the mode it was in.
class TrainingMode {
  public:
    explicit TrainingMode(Model& model) : model_(model), before_(model.is_training()) {
        model.set_training(true);
    }
    ~TrainingMode() { model_.set_training(before_); }
    TrainingMode(const TrainingMode&) = delete;
    TrainingMode& operator=(const TrainingMode&) = delete;

  private:
    Model& model_;
    bool before_;
};

/// The numbers of the state that are no tensors; written as they are.
struct Numbers {
    std::int64_t step = 0;
    std::int64_t best_epoch = -1;
    std::int64_t stopped_early = 0;
    double best_loss = std::numeric_limits<double>::infinity();
    double flops = 0.0, unlabelled = 0.0;
    TrainSums epoch;  ///< so far
};

}  // namespace

struct Trainer::Body {
    Model& model;
    ExampleSource& train;
    ExampleSource* validation;
    TrainOptions options;
    Collective& collective;

    std::int64_t batch_size, steps_per_epoch, steps;
    EpochOrder order;
    BatchGradient batch;
    Optimizer optimizer;
    Examples examples;
    Numbers numbers;
    at::Tensor best_parameters, best_statistics;
    TrainCurves curves;
    Phases phases;

    Body(Model& trained, ExampleSource& source, ExampleSource* held_out, const TrainOptions& given,
         Collective& ranks)
        : model(trained),
          train(source),
          validation(held_out),
          options(given),
          collective(ranks),
          batch_size(std::min(given.batch_size, source.size())),
          steps_per_epoch((source.size() + batch_size - 1) / batch_size),
          steps(given.updates > 0 ? given.updates : given.epochs * steps_per_epoch),
          order(source.size(), std::max<std::int64_t>(1, source.info().block_rows),
                given.window_blocks, given.seed),
          batch(trained, source.info(), given, batch_size, ranks),
          optimizer(given, batch.parameters().values(), batch.parameters().matrices()),
          best_parameters(batch.parameters().values().clone()),
          best_statistics(batch.statistics().values().clone()) {}

    std::int64_t batch_rows(std::int64_t step) const {
        return std::min(batch_size, train.size() - step % steps_per_epoch * batch_size);
    }

    /// Rows of the source that this rank works on in update `step`.
    std::vector<std::int64_t> own_rows(std::int64_t step) const {
        const RowRange own = batch.own_rows(batch_rows(step));
        const std::int64_t begin = step % steps_per_epoch * batch_size;
        std::vector<std::int64_t> rows;
        for (std::int64_t i = own.begin; i < own.end; ++i) {
            rows.push_back(order.row_at(step / steps_per_epoch, begin + i));
        }
        return rows;
    }

    void read_examples(std::int64_t step) {
        const auto rows = own_rows(step);
        train.fetch(rows, examples);
        if (step + 1 < steps) train.prefetch(own_rows(step + 1));
        if (options.augment == AugmentKind::crop_flip) {
            crop_and_flip(examples.inputs, train.info(), examples.ids, options.seed,
                          step / steps_per_epoch);
        }
    }

    TrainEnd run(const std::function<bool(const TrainProgress&)>& after_step) {
        const TrainingMode training(model);
        while (numbers.step < steps && numbers.stopped_early == 0) {
            const TrainProgress progress = update();
            if (after_step && !after_step(progress)) return TrainEnd::interrupted;
        }
        if (numbers.best_epoch >= 0) {
            batch.parameters().values().copy_(best_parameters);
            batch.statistics().values().copy_(best_statistics);
        }
        return numbers.stopped_early != 0 ? TrainEnd::early_stop : TrainEnd::finished;
    }

    TrainProgress update() {
        const std::int64_t step = numbers.step, epoch = step / steps_per_epoch;
        {
            const auto timer = phases.time("read");
            agree(collective, [&] { read_examples(step); });
        }
        const TrainSums sums = batch.compute(examples, batch_rows(step), step, phases);
        const double loss = sums.loss / std::max(1.0, sums.labelled);
        THRESHER_CHECK(
            std::isfinite(loss),
            "the loss is {} at update {} (epoch {}); train again from the last checkpoint "
            "with a lower learning rate (now {}) or a longer warm-up",
            loss, step, epoch, options.learning_rate);
        const double rate = learning_rate_at(options, step, steps, steps_per_epoch);
        {
            const auto timer = phases.time("update");
            optimizer.update(batch.parameters().values(), batch.gradient(), rate, step);
        }
        numbers.epoch.loss += sums.loss;
        numbers.epoch.correct += sums.correct;
        numbers.epoch.labelled += sums.labelled;
        numbers.flops += sums.flops;
        numbers.unlabelled += sums.unlabelled;
        curves.steps["loss"].push_back(loss);
        curves.steps["learning_rate"].push_back(rate);
        numbers.step = step + 1;
        const bool epoch_ended = numbers.step % steps_per_epoch == 0 || numbers.step == steps;
        if (epoch_ended) end_epoch(epoch);
        return {numbers.step, steps, epoch,      (steps + steps_per_epoch - 1) / steps_per_epoch,
                loss,         rate,  epoch_ended};
    }

    void end_epoch(std::int64_t epoch) {
        const double labelled = std::max(1.0, numbers.epoch.labelled);
        curves.epochs["train_loss"].push_back(numbers.epoch.loss / labelled);
        curves.epochs["train_accuracy"].push_back(numbers.epoch.correct / labelled);
        numbers.epoch = TrainSums{};
        if (validation == nullptr) return;
        const auto timer = phases.time("evaluate");
        const Evaluation result = evaluate(model, *validation, collective);
        curves.epochs["validation_loss"].push_back(result.mean_loss);
        curves.epochs["validation_accuracy"].push_back(result.accuracy());
        if (options.patience == 0) return;
        if (result.mean_loss < numbers.best_loss) {
            numbers.best_loss = result.mean_loss;
            numbers.best_epoch = epoch;
            best_parameters.copy_(batch.parameters().values());
            best_statistics.copy_(batch.statistics().values());
        } else if (epoch - numbers.best_epoch >= options.patience) {
            numbers.stopped_early = 1;
        }
    }

    /// Calls visit(name, tensor) for every tensor of the state.
    template <class Visit>
    void visit_tensors(const Visit& visit) {
        visit("parameters", batch.parameters().values());
        visit("statistics", batch.statistics().values());
        visit("moments", optimizer.moments());
        visit("best/parameters", best_parameters);
        visit("best/statistics", best_statistics);
        for (const NamedTensor& counter : batch.counters()) {
            visit("counters/" + counter.name, counter.tensor);
        }
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
                 const TrainOptions& options, Collective& collective) {
    check_options(options);
    THRESHER_CHECK(train.size() > 0, "pool {} has no rows to train on", train.info().path);
    THRESHER_CHECK(train.info().has_targets,
                   "pool {} has no targets, so nothing can be learned from it; label it first",
                   train.info().path);
    THRESHER_CHECK_AS(UsageError, options.patience == 0 || validation != nullptr,
                      "patience {} needs a validation pool to watch; give one, or patience 0",
                      options.patience);
    check_fits(model.spec(), train.info(), "the model");
    if (validation != nullptr) check_fits(model.spec(), validation->info(), "the model");
    body_ = std::make_unique<Body>(model, train, validation, options, collective);
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
    for (const auto& [name, curve] : body_->curves.epochs) {
        put(state, "curves/epochs/" + name, std::span<const double>(curve));
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
    take_curves("curves/epochs/", body_->curves.epochs);
}

const TrainCurves& Trainer::curves() const { return body_->curves; }
std::int64_t Trainer::steps_done() const { return body_->numbers.step; }
std::int64_t Trainer::steps_planned() const { return body_->steps; }
std::int64_t Trainer::rows_without_target() const {
    return static_cast<std::int64_t>(body_->numbers.unlabelled);
}
double Trainer::flops() const { return body_->numbers.flops; }
const Phases& Trainer::phases() const { return body_->phases; }

}  // namespace thresher
