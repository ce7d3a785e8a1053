#include "src/training/trainer.hpp"

#include <ATen/core/Tensor.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "src/base/agreement.hpp"
#include "src/base/check.hpp"
#include "src/base/tree_sum.hpp"
#include "src/models/input_reader.hpp"
#include "src/models/tensors.hpp"
#include "src/random/philox.hpp"
#include "src/training/augment.hpp"
#include "src/training/epoch_order.hpp"
#include "src/training/evaluate.hpp"
#include "src/training/flat_tensors.hpp"
#include "src/training/optimizer.hpp"

namespace thresher {
namespace {

std::span<float> span_of(const at::Tensor& tensor) {
    return {tensor.mutable_data_ptr<float>(), static_cast<std::size_t>(tensor.numel())};
}

/// What a shard, a batch or an epoch has cost and brought.
struct Sums {
    double loss = 0.0, correct = 0.0, labelled = 0.0, unlabelled = 0.0, flops = 0.0;
};
constexpr std::size_t kSums = sizeof(Sums) / sizeof(double);

/// The integers that say where training is; written to the state as they are.
struct Position {
    std::int64_t step = 0;
    std::int64_t best_epoch = -1;
    std::int64_t stopped_early = 0;
};

ModelSpec in_units_of(ModelSpec spec, const PoolInfo& pool) {
    spec.scale = pool.scale;
    return spec;
}

std::vector<NamedTensor> pick(const std::vector<NamedTensor>& tensors, bool floating) {
    std::vector<NamedTensor> result;
    for (const NamedTensor& entry : tensors) {
        if ((entry.tensor.scalar_type() == at::kFloat) == floating) result.push_back(entry);
    }
    return result;
}

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

}  // namespace

struct Trainer::Body {
    Model& model;
    ExampleSource& train;
    ExampleSource* validation;
    TrainOptions options;
    Collective& collective;

    // A batch is cut into shards; a rank works through its own, one after the other.
    std::int64_t batch_size, steps_per_epoch, steps, shards, first_shard, end_shard;
    EpochOrder order;
    InputReader reader;
    FlatTensors parameters, statistics;
    std::vector<NamedTensor> counters;  ///< buffers of integers, such as num_batches_tracked
    Optimizer optimizer;
    at::Tensor gradients;        ///< [parameters.size()]
    at::Tensor shard_gradients;  ///< [own shards, parameters.size()], under `reproducible`
    Examples examples;

    Position position;
    Sums epoch_sums;
    double all_flops = 0.0, all_unlabelled = 0.0;
    double best_loss = std::numeric_limits<double>::infinity();
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
          shards(given.reproducible ? std::min(given.logical_shards, batch_size)
                                    : ranks.size() * given.accumulate),
          first_shard(shard_begin(ranks.rank())),
          end_shard(shard_begin(ranks.rank() + 1)),
          order(source.size(), std::max<std::int64_t>(1, source.info().block_rows),
                given.window_blocks, given.seed),
          reader(in_units_of(trained.spec(), source.info()), source.info().element_type,
                 trained.device()),
          parameters(trainable(trained.parameters())),
          statistics(pick(trained.buffers(), true)),
          counters(pick(trained.buffers(), false)),
          optimizer(given, parameters.values(), parameters.matrices()),
          gradients(at::zeros_like(parameters.values())) {
        if (options.reproducible) {
            shard_gradients = at::zeros({end_shard - first_shard, parameters.size()},
                                        parameters.values().options());
        }
        broadcast(parameters.values());
        broadcast(statistics.values());
        best_parameters = parameters.values().clone();
        best_statistics = statistics.values().clone();
    }

    ~Body() { parameters.bind_gradients(at::Tensor()); }

    /// The first shard of a rank; rank 0 always has one.
    std::int64_t shard_begin(int rank) const {
        return (shards * rank + collective.size() - 1) / collective.size();
    }

    void broadcast(const at::Tensor& tensor) {
        const at::Tensor host = tensor.cpu();
        collective.broadcast(span_of(host));
        if (!tensor.is_cpu()) tensor.copy_(host);
    }

    /// Positions in the epoch [begin, end) of shard `shard` of update `step`.
    RowRange shard_rows(std::int64_t step, std::int64_t shard) const {
        const std::int64_t begin = step % steps_per_epoch * batch_size;
        const std::int64_t rows = std::min(batch_size, train.size() - begin);
        return {begin + rows * shard / shards, begin + rows * (shard + 1) / shards};
    }

    std::vector<std::int64_t> own_rows(std::int64_t step) const {
        std::vector<std::int64_t> rows;
        const std::int64_t epoch = step / steps_per_epoch;
        const std::int64_t end = shard_rows(step, end_shard - 1).end;
        for (std::int64_t i = shard_rows(step, first_shard).begin; i < end; ++i) {
            rows.push_back(order.row_at(epoch, i));
        }
        return rows;
    }

    void read_examples(std::int64_t step) {
        const auto timer = phases.time("read");
        if (first_shard == end_shard) return;
        train.fetch(own_rows(step), examples);
        if (step + 1 < steps) train.prefetch(own_rows(step + 1));
        if (options.augment == AugmentKind::crop_flip) {
            crop_and_flip(examples.inputs, train.info(), examples.ids, options.seed,
                          step / steps_per_epoch);
        }
    }

    /// Forward and backward of one shard's rows, which begin at row `first` of the examples read.
    /// Adds to the gradients in place.
    Sums learn(std::int64_t step, std::int64_t shard, std::int64_t first, std::int64_t rows,
               std::int64_t batch_rows) {
        Sums sums;
        if (rows == 0) return sums;
        const std::int64_t classes = model.spec().classes;
        const auto row_bytes = static_cast<std::size_t>(reader.bytes_per_row());
        std::vector<std::int64_t> targets(examples.targets.begin() + first,
                                          examples.targets.begin() + first + rows);
        for (std::int64_t& target : targets) {
            if (target < 0 || target >= classes) {
                target = -1;
                ++sums.unlabelled;
            }
        }
        sums.labelled = static_cast<double>(rows) - sums.unlabelled;
        const double flops_before = model.forward_flops();
        model.seed_dropout(
            KeyedRandom(options.seed, Stream::dropout, static_cast<std::uint32_t>(step))
                .bits(shard));
        const at::Tensor inputs =
            reader.read(std::span<const std::byte>(examples.inputs)
                            .subspan(static_cast<std::size_t>(first) * row_bytes,
                                     static_cast<std::size_t>(rows) * row_bytes));
        const at::Tensor target =
            at::from_blob(targets.data(), {rows}, at::TensorOptions(at::kLong)).to(inputs.device());
        const at::Tensor logits = model.forward(inputs).logits;
        const at::Tensor loss = at::cross_entropy_loss(logits, target, {}, at::Reduction::Sum, -1,
                                                       options.label_smoothing);
        loss.div(static_cast<double>(batch_rows)).backward();
        sums.loss = loss.item<double>();
        sums.correct =
            static_cast<double>(logits.detach().argmax(1).eq(target).sum().item<std::int64_t>());
        // A backward pass costs twice the forward pass: gradients of inputs and of weights.
        sums.flops = 3.0 * (model.forward_flops() - flops_before);
        return sums;
    }

    /// Gradients of this rank's shards, and the running statistics each leaves behind [own shards,
    /// ...].
    std::vector<Sums> learn_own_shards(std::int64_t step, at::Tensor& shard_statistics) {
        const auto timer = phases.time("compute");
        const std::int64_t batch_rows =
            shard_rows(step, shards - 1).end - shard_rows(step, 0).begin;
        const at::Tensor before = statistics.values().clone();
        std::vector<at::Tensor> counters_before;
        for (const NamedTensor& counter : counters) {
            counters_before.push_back(counter.tensor.clone());
        }
        shard_statistics =
            at::zeros({end_shard - first_shard, statistics.size()}, before.options());
        if (!options.reproducible) {
            gradients.zero_();
            parameters.bind_gradients(gradients);
        } else {
            shard_gradients.zero_();
        }
        std::vector<Sums> sums;
        std::int64_t first = 0;
        for (std::int64_t shard = first_shard; shard < end_shard; ++shard) {
            const c10::AutoGradMode gradients_on(true);
            const std::int64_t own = shard - first_shard;
            const std::int64_t rows = shard_rows(step, shard).size();
            if (options.reproducible) parameters.bind_gradients(shard_gradients[own]);
            {
                const c10::NoGradGuard no_grad;
                statistics.values().copy_(before);
                for (std::size_t i = 0; i < counters.size(); ++i) {
                    counters[i].tensor.copy_(counters_before[i]);
                }
            }
            sums.push_back(learn(step, shard, first, rows, batch_rows));
            first += rows;
            if (rows > 0) shard_statistics[own].copy_(statistics.values());
        }
        return sums;
    }

    /// Adds up terms over all shards: in the fixed tree, or rank by rank.
    void reduce(const at::Tensor& own, const at::Tensor& total) {
        if (total.numel() == 0) return;
        const at::Tensor own_host = own.cpu().contiguous();
        const at::Tensor total_host = total.is_cpu() ? total : at::empty_like(total, at::kCPU);
        if (options.reproducible) {
            tree_all_reduce<float>(collective, shards, first_shard, span_of(own_host),
                                   span_of(total_host));
        } else {
            if (!own_host.is_same(total_host)) total_host.copy_(own_host);
            if (collective.size() > 1) collective.all_reduce_sum(span_of(total_host));
        }
        if (!total.is_cpu()) total.copy_(total_host);
    }

    Sums reduce_all(std::int64_t step, const std::vector<Sums>& own,
                    const at::Tensor& shard_statistics) {
        const auto timer = phases.time("reduce");
        const c10::NoGradGuard no_grad;
        reduce(options.reproducible ? shard_gradients : gradients, gradients);
        std::int64_t active = 0;
        for (std::int64_t s = 0; s < shards; ++s) active += shard_rows(step, s).size() > 0 ? 1 : 0;
        reduce(options.reproducible ? shard_statistics : shard_statistics.sum(0),
               statistics.values());
        statistics.values().div_(static_cast<double>(active));
        for (const NamedTensor& counter : counters) {
            const at::Tensor host = counter.tensor.cpu().contiguous();
            collective.broadcast(std::span<std::byte>(
                static_cast<std::byte*>(host.mutable_data_ptr()), host.nbytes()));
            counter.tensor.copy_(host);
        }
        Sums total;
        tree_all_reduce<double>(collective, shards, first_shard,
                                std::span<const double>(reinterpret_cast<const double*>(own.data()),
                                                        own.size() * kSums),
                                std::span<double>(reinterpret_cast<double*>(&total), kSums));
        return total;
    }

    TrainProgress step_once() {
        const std::int64_t step = position.step;
        agree(collective, [&] { read_examples(step); });
        std::vector<Sums> own;
        at::Tensor shard_statistics;
        agree(collective, [&] { own = learn_own_shards(step, shard_statistics); });
        const Sums sums = reduce_all(step, own, shard_statistics);
        const double loss = sums.loss / std::max(1.0, sums.labelled);
        THRESHER_CHECK(
            std::isfinite(loss),
            "the loss is {} at update {} (epoch {}); train again from the last checkpoint "
            "with a lower learning rate (now {}) or a longer warm-up",
            loss, step, step / steps_per_epoch, options.learning_rate);
        const double rate = learning_rate_at(options, step, steps, steps_per_epoch);
        {
            const auto timer = phases.time("update");
            optimizer.update(parameters.values(), gradients, rate, step);
        }
        epoch_sums.loss += sums.loss;
        epoch_sums.correct += sums.correct;
        epoch_sums.labelled += sums.labelled;
        all_flops += sums.flops;
        all_unlabelled += sums.unlabelled;
        curves.steps["loss"].push_back(loss);
        curves.steps["learning_rate"].push_back(rate);
        position.step = step + 1;
        const bool epoch_ended = position.step % steps_per_epoch == 0 || position.step == steps;
        if (epoch_ended) end_epoch(step / steps_per_epoch);
        return {position.step,
                steps,
                step / steps_per_epoch,
                (steps + steps_per_epoch - 1) / steps_per_epoch,
                loss,
                rate,
                epoch_ended};
    }

    void end_epoch(std::int64_t epoch) {
        const double labelled = std::max(1.0, epoch_sums.labelled);
        curves.epochs["train_loss"].push_back(epoch_sums.loss / labelled);
        curves.epochs["train_accuracy"].push_back(epoch_sums.correct / labelled);
        epoch_sums = Sums{};
        if (validation == nullptr) return;
        const auto timer = phases.time("evaluate");
        const Evaluation result = evaluate(model, *validation, collective);
        curves.epochs["validation_loss"].push_back(result.mean_loss);
        curves.epochs["validation_accuracy"].push_back(result.accuracy());
        if (options.patience == 0) return;
        if (result.mean_loss < best_loss) {
            best_loss = result.mean_loss;
            position.best_epoch = epoch;
            best_parameters.copy_(parameters.values());
            best_statistics.copy_(statistics.values());
        } else if (epoch - position.best_epoch >= options.patience) {
            position.stopped_early = 1;
        }
    }

    TrainEnd run(const std::function<bool(const TrainProgress&)>& after_step) {
        const TrainingMode training(model);
        while (position.step < steps && position.stopped_early == 0) {
            const TrainProgress progress = step_once();
            if (after_step && !after_step(progress)) return TrainEnd::interrupted;
        }
        if (position.best_epoch >= 0) {
            const c10::NoGradGuard no_grad;
            parameters.values().copy_(best_parameters);
            statistics.values().copy_(best_statistics);
        }
        return position.stopped_early != 0 ? TrainEnd::early_stop : TrainEnd::finished;
    }
};

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

/// Calls visit(name, tensor) for every tensor of the state.
template <class Visit>
void visit_tensors(Trainer::Body& body, const Visit& visit) {
    visit("parameters", body.parameters.values());
    visit("statistics", body.statistics.values());
    visit("moments", body.optimizer.moments());
    visit("best/parameters", body.best_parameters);
    visit("best/statistics", body.best_statistics);
    for (const NamedTensor& counter : body.counters) {
        visit("counters/" + counter.name, counter.tensor);
    }
}

/// The numbers of the state that are no tensors.
struct Numbers {
    Position position;
    Sums epoch_sums;
    double all_flops, all_unlabelled, best_loss;
};

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
    visit_tensors(*body_, [&](const std::string& name, const at::Tensor& tensor) {
        put_tensor(state, name, tensor);
    });
    const Numbers numbers{body_->position, body_->epoch_sums, body_->all_flops,
                          body_->all_unlabelled, body_->best_loss};
    put(state, "numbers", std::span<const Numbers>(&numbers, 1));
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
    visit_tensors(*body_, [&](const std::string& name, const at::Tensor& tensor) {
        take_tensor(state, name, tensor);
    });
    body_->position = numbers.position;
    body_->epoch_sums = numbers.epoch_sums;
    body_->all_flops = numbers.all_flops;
    body_->all_unlabelled = numbers.all_unlabelled;
    body_->best_loss = numbers.best_loss;
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
std::int64_t Trainer::steps_done() const { return body_->position.step; }
std::int64_t Trainer::steps_planned() const { return body_->steps; }
std::int64_t Trainer::rows_without_target() const {
    return static_cast<std::int64_t>(body_->all_unlabelled);
}
double Trainer::flops() const { return body_->all_flops; }
const Phases& Trainer::phases() const { return body_->phases; }

}  // namespace thresher
