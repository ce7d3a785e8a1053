// thresher loop: active-learning cycles of train, evaluate, predict, score, select, label.

#include <fmt/ranges.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "io/batch_file.hpp"
#include "io/id_set.hpp"
#include "io/pool/block_reader.hpp"
#include "jobs/options/loop_options.hpp"
#include "jobs/steps/loop/loop_labels.hpp"
#include "jobs/steps/loop/loop_pick.hpp"
#include "jobs/steps/loop/loop_state.hpp"
#include "jobs/steps/training/checkpointing.hpp"
#include "jobs/verbs.hpp"
#include "src/base/agreement.hpp"
#include "src/base/check.hpp"
#include "src/base/log.hpp"
#include "src/base/stop_flag.hpp"
#include "src/random/philox.hpp"
#include "src/training/evaluation/evaluate.hpp"
#include "src/training/evaluation/evaluate_detector.hpp"
#include "src/training/loss/batch_loss.hpp"

namespace thresher::jobs {

namespace {

constexpr const char *kLoop = "loop.json", *kAgent = "agent";

std::string metric_in_words(const LoopState& state) {
    std::string words = state.metric;
    std::replace(words.begin(), words.end(), '_', ' ');
    return words;
}

/// One run of the verb: the pools, the models and the state, and what is done in a cycle.
class Loop {
  public:
    Loop(Job& job, const LoopOptions& options, const io::RunDirectory& run)
        : job_(job),
          options_(options),
          methods_(options.methods()),
          run_(run),
          train_(options.training.settings(job.common())),
          pool_(open_pool(job, options.pool)),
          test_pool_(open_pool(job, options.test_pool)),
          clock_(options.training.checkpoint_every_s, options.training.max_walltime_s) {
        if (!options.target_pool.empty()) target_pool_ = open_pool(job, options.target_pool);
        agree(collective(), [&] {
            THRESHER_CHECK_AS(UsageError, options.model.name != "two-tower",
                              "a loop labels classes, which a two-tower does not tell apart; use "
                              "another model, or thresher select on its embeddings");
            const ModelSpec spec = options.model.spec(pool_.info());
            check_fits(spec, test_pool_.info(), options.test_pool);
            if (spec.detector) check_teaches(test_pool_.info(), spec);
            finds_objects_ = spec.detector.has_value();
            check_class_weights(options.choice.aggregate.class_weights, spec.classes);
            if (!options.reference.empty())
                reference_ = load_model(options.reference, pool_.info(), job.device());
            const std::int64_t wanted = options.initial + (options.cycles - 1) * options.k;
            THRESHER_CHECK_AS(UsageError, wanted <= pool_.info().rows,
                              "--initial {} and {} batches of {} are {} rows, but {} has {}",
                              options.initial, options.cycles - 1, options.k, wanted,
                              options.pool.path, pool_.info().rows);
            THRESHER_CHECK_AS(UsageError, !finds_objects_ || options.oracle == "pool",
                              "--oracle person asks for classes, but {} learns from boxes; draw "
                              "them with a tool of your own, import them, and train with --rows",
                              spec.name);
            THRESHER_CHECK_AS(
                UsageError,
                finds_objects_ || options.oracle == "person" || pool_.info().has_targets,
                "{} has no targets to label from; use --oracle person", options.pool.path);
            // What a method asks of the model shows before anything is trained.
            const auto untrained = make_model(spec, job.common().seed, job.device());
            for (const Method& method : methods_) {
                static_cast<void>(predictor_for(options, method, models(*untrained), pool_.info(),
                                                job.common().seed, 0));
            }
            begin_afresh();
        });
        if (options.resume) load_checkpoint();
    }

    int run() {
        for (std::int64_t repeat = 0; repeat < options_.repeats; ++repeat) {
            for (std::size_t a = 0; a < options_.acquisitions.size(); ++a) {
                LoopTrack& track = state_.track(a, repeat);
                if (track.ids.empty() && state_.pending.empty() &&
                    !label(track, first_rows(repeat))) {
                    return wait_for_person();
                }
                if (!state_.pending.empty()) {
                    if (options_.labels.empty()) return wait_for_person();
                    take_labels(collective(), pool_, options_.labels, state_, track);
                    write_checkpoint();  // before the next batch takes the labels' place
                }
                while (static_cast<std::int64_t>(track.labelled.size()) < options_.cycles) {
                    if (!run_cycle(a, repeat)) return wait_for_person();
                }
            }
        }
        write_record();
        return 0;
    }

    const LoopState& state() const { return state_; }

  private:
    Collective& collective() { return job_.collective(); }
    ModelRoles models(const Model& learner) const {
        return {&learner, reference_.get(), nullptr, {}};
    }

    /// Collective.
    std::vector<std::int64_t> first_rows(std::int64_t repeat) {
        std::vector<std::int64_t> ids;
        agree(collective(), [&] {
            const FirstRows kind = finds_objects_                ? FirstRows::covering
                                   : options_.oracle == "person" ? FirstRows::any
                                                                 : FirstRows::with_targets;
            ids = initial_rows(pool_, options_.initial, job_.common().seed, repeat, kind);
        });
        return ids;
    }

    void begin_afresh() {
        state_.settings = options_.settings(train_, pool_.info());
        if (!train_.reproducible) state_.settings.merge(parallel_settings(collective()));
        state_.acquisitions = options_.acquisitions;
        state_.repeats = options_.repeats;
        state_.cycles = options_.cycles;
        if (finds_objects_) state_.metric = "average_precision";
        state_.tracks.resize(options_.acquisitions.size() *
                             static_cast<std::size_t>(options_.repeats));
    }

    void load_checkpoint() {
        const auto checkpoint = io::load_newest_checkpoint(run_.checkpoints(), collective());
        if (!checkpoint) {
            log::info("{} has no checkpoint yet: starting from the beginning", options_.run);
            return;
        }
        agree(collective(), [&] {
            LoopState state = loop_state_from_json(required_file(*checkpoint, kLoop));
            check_same_settings(state.settings, state_.settings, options_.run);
            state_ = std::move(state);
            costs_before_ = state_.ledger;
            trainer_state_ = state_in(kTrainer, checkpoint->files);
            agent_state_ = state_in(kAgent, checkpoint->files);
        });
        log::info("resumed from {}", checkpoint->path);
    }

    /// With the states, at the root, of what a cycle is in the middle of.
    void write_checkpoint(const TrainState& trainer = {}, const TrainState& agent = {}) {
        ++state_.checkpoints;
        add_costs(job_.phases(), collective().traffic(), costs_before_, state_.ledger);
        io::write_checkpoint(run_.checkpoints(), state_.checkpoints, collective(), [&] {
            io::CheckpointFiles files;
            files[kLoop] = to_json(state_);
            add_state(kTrainer, trainer, files);
            add_state(kAgent, agent, files);
            return files;
        });
    }

    void write_record() {
        add_costs(job_.phases(), collective().traffic(), costs_before_, state_.ledger);
        agree(collective(), [&] {
            if (!job_.is_root()) return;
            io::write_run(run_.curves_file(), to_record(state_),
                          job_.provenance(options_.pool.path));
            if (options_.oracle != "person" || state_.tracks[0].ids.empty()) return;
            // What people labelled is theirs to use elsewhere.
            const LoopTrack& track = state_.tracks[0];
            io::write_labels(run_.file("labels.csv"), {track.ids, track.labels, 0},
                             pool_.info().class_names, io::Overwrite::yes);
        });
    }

    /// Labels ids by the pool; false where a person is asked instead.
    bool label(LoopTrack& track, const std::vector<std::int64_t>& ids,
               std::vector<float> scores = {}) {
        if (options_.oracle == "person") {
            state_.pending = ids;
            state_.pending_scores = std::move(scores);
            return false;
        }
        label_by_pool(collective(), pool_, ids, track);
        return true;
    }

    /// Ends the job; the batch is in batch.h5 and batch.csv.
    int wait_for_person() {
        write_checkpoint();
        const std::string path = run_.file("batch.h5"), csv = io::csv_path_of_batch(path);
        write_pending(job_, path, options_.pool, pool_, methods_.front(), state_);
        write_record();
        job_.print(fmt::format(
            "{} rows wait for labels: fill in the column label of {}, then run the same command "
            "with\n"
            "  --resume --labels {}",
            state_.pending.size(), csv, csv));
        job_.waits_for(fmt::format("labels of {} rows in {}", state_.pending.size(), csv));
        return 0;
    }

    /// Trains on what is labelled, evaluates, and, unless it was the last cycle, picks and labels
    /// the next batch. False where a person must label it.
    bool run_cycle(std::size_t a, std::int64_t repeat) {
        LoopTrack& track = state_.track(a, repeat);
        const auto begin = std::chrono::steady_clock::now();
        const auto cycle = static_cast<std::int64_t>(track.labelled.size());
        const std::string& acquisition = options_.acquisitions[a];
        const std::string title = fmt::format("{} repeat {} cycle {}/{}", acquisition, repeat + 1,
                                              cycle + 1, options_.cycles);

        // The same weights and the same order for every acquisition of a repeat.
        const std::uint64_t seed = KeyedRandom(job_.common().seed, Stream::initialisation,
                                               static_cast<std::uint32_t>(repeat))
                                       .bits(cycle);
        const bool trains_agent = cycle + 1 < options_.cycles &&
                                  methods_[a].acquisition == kPolicy &&
                                  methods_[a].choice.agent != "fixed";
        // All acquisitions of a repeat begin with the same rows, and so with the same model.
        const bool known = cycle == 0 && first_ && first_->repeat == repeat && !trains_agent;
        if (first_ && first_->repeat != repeat) first_.reset();
        // What the model cost is charged to each acquisition, however the run was cut into parts.
        const Trained trained = known ? Trained{first_->model, first_->flops, {}}
                                      : train(track, seed, title, trains_agent);
        const std::shared_ptr<const Model> model = trained.model;
        const Judgement found = known ? first_->found : judge(*model);
        if (cycle == 0 && !known) first_ = First{repeat, model, trained.flops, found};
        Picked picked;
        if (cycle + 1 < options_.cycles) {
            const AgentCheckpoints checkpoints{
                clock_, [&](const TrainState& agent) { write_checkpoint(trained.state, agent); },
                std::exchange(agent_state_, {}), state_.ledger};
            picked = pick_next(job_, options_, methods_[a], {pool_, target_pool_}, models(*model),
                               track, static_cast<std::uint32_t>(repeat * options_.cycles + cycle),
                               checkpoints);
        }
        for (const auto& [role, flops] : trained.flops) state_.ledger["flops/" + role] += flops;

        track.labelled.push_back(static_cast<double>(track.ids.size()));
        track.test_metric.push_back(found.metric);
        track.test_loss.push_back(found.loss);
        track.seconds.push_back(
            std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
        log::info("{}: {} labelled, {} {:.4f}, loss {:.4f}", title, track.ids.size(),
                  metric_in_words(state_), found.metric, found.loss);
        agree(collective(), [&] {
            if (!job_.is_root()) return;
            io::write_file(run_.file("model.pt"), model->archive(), io::Overwrite::yes);
        });
        if (!picked.ids.empty()) {
            track.batches.push_back(picked.ids);
            if (!label(track, picked.ids, std::move(picked.scores))) return false;
        }
        write_checkpoint();
        write_record();
        if (clock_.due(collective()) == Due::stop) {
            throw Requeue(
                "asked to stop: a checkpoint was written; run the same command with --resume to go "
                "on");
        }
        return true;
    }

    struct Judgement {
        double metric, loss;
    };

    /// What the first cycle of a repeat came to.
    struct First {
        std::int64_t repeat;
        std::shared_ptr<const Model> model;
        std::map<std::string, double> flops;
        Judgement found;
    };

    /// On the test pool.
    Judgement judge(const Model& model) {
        const auto timer = job_.phases().time("evaluate");
        const int rank = collective().rank(), ranks = collective().size();
        if (finds_objects_) {
            const auto test = io::make_block_reader(test_pool_, rank, ranks, kImagesInBlock);
            const DetectorEvaluation found = evaluate_detector(
                model, *test, pool_metric(), detect_options(model.spec()), collective());
            return {found.metric.mean_average_precision, found.mean_loss.value()};
        }
        const auto test = io::make_block_reader(test_pool_, rank, ranks);
        const Evaluation found = evaluate(model, *test, collective());
        return {found.accuracy(), found.mean_loss};
    }

    struct Trained {
        std::shared_ptr<const Model> model;
        std::map<std::string, double> flops;  ///< by role
        /// The root's, where an agent is trained next: a stop in that begins from here again.
        TrainState state;
    };

    Trained train(const LoopTrack& track, std::uint64_t seed, const std::string& title,
                  bool trains_agent) {
        const auto timer = job_.phases().time("train");
        std::shared_ptr<Model> model;
        std::unique_ptr<ExampleSource> labelled;
        agree(collective(), [&] {
            model = make_model(options_.model.spec(pool_.info()), seed, job_.device());
            labelled = io::make_example_source(
                pool_, pool_.rows_of(track.ids), options_.training.cache_bytes(),
                finds_objects_ ? std::vector<std::int64_t>() : track.labels);
        });
        TrainOptions train = train_;
        train.seed = seed;
        train.batch_size = std::min(train.batch_size, labelled->size());
        Trainer trainer(*model, *labelled, nullptr, train, collective());
        if (!trainer_state_.empty()) {
            agree(collective(), [&] { trainer.import_state(trainer_state_); });
            trainer_state_.clear();
            log::info("{}: goes on at update {} of {}", title, trainer.steps_done(),
                      trainer.steps_planned());
        }
        const auto state = [&] { return job_.is_root() ? trainer.export_state() : TrainState(); };
        static_cast<void>(train_with_checkpoints(job_, collective(), trainer, clock_, title,
                                                 [&] { write_checkpoint(state()); }));
        if (trainer.skipped_updates() > 0) {
            log::warn("{}: {} updates were left out, as a loss or a gradient was not finite", title,
                      trainer.skipped_updates());
        }
        return {model, trainer.flops(), trains_agent ? state() : TrainState()};
    }

    Job& job_;
    const LoopOptions& options_;
    std::vector<Method> methods_;
    const io::RunDirectory& run_;
    TrainOptions train_;
    io::PoolFile pool_, test_pool_;
    std::optional<io::PoolFile> target_pool_;
    bool finds_objects_ = false;  ///< whether the model does, and so learns from boxes
    std::unique_ptr<Model> reference_;
    std::optional<First> first_;
    CheckpointClock clock_;
    LoopState state_;
    std::map<std::string, double> costs_before_;  ///< the ledger of the parts before this one
    /// Of what a stop or a kill cut short: the training of a cycle, and of its policy.
    TrainState trainer_state_, agent_state_;
};

}  // namespace

int run_loop(Job& job) {
    LoopOptions options;
    add_loop_options(job.options(), options);
    job.start();
    install_stop_signals();
    check_loop_options(options);
    for (const Method& method : options.methods()) {
        check_policy(job, method.choice, method.acquisition);
    }
    const io::RunDirectory run(options.run, run_start(options.resume, job.common()),
                               job.collective());
    job.log_to(run);
    Loop loop(job, options, run);
    agree(job.collective(), [&] {
        if (job.is_root()) run.write_config(job.config_text());
    });
    const int exit_code = loop.run();

    nlohmann::json facts;
    for (std::size_t a = 0; a < options.acquisitions.size(); ++a) {
        double sum = 0.0;
        std::int64_t count = 0;
        for (std::int64_t repeat = 0; repeat < options.repeats; ++repeat) {
            const auto& metric = loop.state().track(a, repeat).test_metric;
            if (metric.empty()) continue;
            sum += metric.back();
            ++count;
        }
        if (count == 0) continue;
        facts["test_" + loop.state().metric][options.acquisitions[a]] =
            sum / static_cast<double>(count);
        job.print(fmt::format("{:<18} last {} {:.4f} (mean of {})", options.acquisitions[a],
                              metric_in_words(loop.state()), sum / static_cast<double>(count),
                              count));
    }
    job.finish(facts);
    return exit_code;
}

}  // namespace thresher::jobs
