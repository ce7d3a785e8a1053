// thresher loop: active-learning cycles of train, evaluate, predict, score, select, label.

#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <limits>
#include <optional>
#include <utility>

#include "io/batch_file.hpp"
#include "io/block_reader.hpp"
#include "io/id_set.hpp"
#include "jobs/options/loop_options.hpp"
#include "jobs/steps/checkpointing.hpp"
#include "jobs/steps/cycle_agent.hpp"
#include "jobs/steps/loop_state.hpp"
#include "jobs/verbs.hpp"
#include "src/base/agreement.hpp"
#include "src/base/check.hpp"
#include "src/base/log.hpp"
#include "src/base/stop_flag.hpp"
#include "src/random/permutation.hpp"
#include "src/training/evaluate.hpp"

namespace thresher::jobs {

namespace {

constexpr const char *kLoop = "loop.json", *kAgent = "agent";

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
            check_fits(options.model.spec(pool_.info()), test_pool_.info(), options.test_pool);
            if (!options.reference.empty())
                reference_ = load_model(options.reference, pool_.info(), job.device());
            const std::int64_t wanted = options.initial + (options.cycles - 1) * options.k;
            THRESHER_CHECK_AS(UsageError, wanted <= pool_.info().rows,
                              "--initial {} and {} batches of {} are {} rows, but {} has {}",
                              options.initial, options.cycles - 1, options.k, wanted,
                              options.pool.path, pool_.info().rows);
            THRESHER_CHECK_AS(UsageError, options.oracle == "person" || pool_.info().has_targets,
                              "{} has no targets to label from; use --oracle person",
                              options.pool.path);
            // What a method asks of the model shows before anything is trained.
            const auto untrained =
                make_model(options.model.spec(pool_.info()), job.common().seed, job.device());
            for (const Method& method : methods_) {
                static_cast<void>(predictor(*untrained, method, 0, pool_.info()));
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
                    !label(a, repeat, initial_rows(repeat))) {
                    return wait_for_person();
                }
                if (!state_.pending.empty()) {
                    if (!take_labels(track)) return wait_for_person();
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

    void begin_afresh() {
        state_.settings = options_.settings(train_, pool_.info());
        if (!train_.reproducible) state_.settings.merge(parallel_settings(collective()));
        state_.acquisitions = options_.acquisitions;
        state_.repeats = options_.repeats;
        state_.cycles = options_.cycles;
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

    /// The same rows for every acquisition of a repeat.
    std::vector<std::int64_t> initial_rows(std::int64_t repeat) const {
        const KeyedPermutation order(pool_.info().rows, job_.common().seed, Stream::initial_labels,
                                     static_cast<std::uint32_t>(repeat));
        std::vector<std::int64_t> rows;
        for (std::int64_t i = 0; i < options_.initial; ++i) rows.push_back(order(i));
        return pool_.ids_of(rows);
    }

    /// Adds ids with the pool's targets to a track; false where a person is asked instead. Rows
    /// whose target is unknown are labelled -1 and passed over in training.
    bool label(std::size_t acquisition, std::int64_t repeat, const std::vector<std::int64_t>& ids,
               std::vector<float> scores = {}) {
        LoopTrack& track = state_.track(acquisition, repeat);
        if (options_.oracle == "person") {
            state_.pending = ids;
            state_.pending_scores = std::move(scores);
            return false;
        }
        agree(collective(), [&] {
            const std::vector<std::int64_t> targets = pool_.targets_of(ids);
            track.ids.insert(track.ids.end(), ids.begin(), ids.end());
            track.labels.insert(track.labels.end(), targets.begin(), targets.end());
        });
        return true;
    }

    /// The person's labels for the pending batch; false where none were given yet.
    bool take_labels(LoopTrack& track) {
        if (options_.labels.empty()) return false;
        agree(collective(), [&] {
            const io::Labels labels =
                io::read_labels(options_.labels, pool_.info().class_names, pool_.info().classes);
            std::vector<std::int64_t> open;
            for (const std::int64_t id : state_.pending) {
                const auto place = std::find(labels.ids.begin(), labels.ids.end(), id);
                if (place == labels.ids.end()) {
                    open.push_back(id);
                    continue;
                }
                track.ids.push_back(id);
                track.labels.push_back(
                    labels.labels[static_cast<std::size_t>(place - labels.ids.begin())]);
            }
            THRESHER_CHECK_AS(
                FileError, open.empty(),
                "{} has no label for {} of the {} rows of the batch, ids {}{}", options_.labels,
                open.size(), state_.pending.size(),
                fmt::join(open.begin(),
                          open.begin() + std::min<std::ptrdiff_t>(5, std::ssize(open)), ", "),
                open.size() > 5 ? ", ..." : "");
        });
        state_.pending.clear();
        state_.pending_scores.clear();
        return true;
    }

    /// Ends the job; the batch is in batch.h5 and batch.csv. A batch that waited already is left as
    /// it is: a person may have begun to fill it in.
    int wait_for_person() {
        write_checkpoint();
        const std::string path = run_.file("batch.h5"), csv = io::csv_path_of_batch(path);
        agree(collective(), [&] {
            if (!job_.is_root()) return;
            if (std::filesystem::exists(path) && std::filesystem::exists(csv) &&
                io::read_batch(path).ids == state_.pending) {
                return;
            }
            const Method& method = methods_.front();
            const std::int64_t cycle = std::ssize(state_.track(0, 0).labelled) - 1;
            const bool initial = state_.pending_scores.empty();
            const Selector selector = method.choice.selector.selector(
                job_.common().seed, static_cast<std::uint32_t>(std::max<std::int64_t>(0, cycle)));
            io::Batch batch = initial ? describe_batch({}, "random", {}, false)
                                      : describe_batch(method.choice, method.acquisition, selector,
                                                       picks_jointly(method.acquisition));
            batch.ids = state_.pending;
            batch.scores = state_.pending_scores;
            batch.scores.resize(batch.ids.size(), std::numeric_limits<float>::quiet_NaN());
            if (pool_.info().has_names) batch.names = pool_.names_of(batch.ids);
            io::write_batch(path, batch, job_.provenance(options_.pool.path), io::Overwrite::yes);
        });
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
        std::unique_ptr<Model> model;
        std::unique_ptr<ExampleSource> labelled;
        agree(collective(), [&] {
            model = make_model(options_.model.spec(pool_.info()), seed, job_.device());
            labelled = io::make_example_source(pool_, pool_.rows_of(track.ids),
                                               options_.training.cache_bytes(), track.labels);
        });
        const Trained trained = train(*model, *labelled, seed, title);
        Evaluation evaluation;
        {
            const auto timer = job_.phases().time("evaluate");
            const auto test =
                io::make_block_reader(test_pool_, collective().rank(), collective().size());
            evaluation = evaluate(*model, *test, collective());
        }
        Picked picked;
        if (cycle + 1 < options_.cycles) picked = pick(*model, a, repeat, cycle, trained.state);
        for (const auto& [role, flops] : trained.flops) state_.ledger["flops/" + role] += flops;

        track.labelled.push_back(static_cast<double>(track.ids.size()));
        track.test_accuracy.push_back(evaluation.accuracy());
        track.test_loss.push_back(evaluation.mean_loss);
        track.seconds.push_back(
            std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
        log::info("{}: {} labelled, accuracy {:.4f}, loss {:.4f}", title, track.ids.size(),
                  evaluation.accuracy(), evaluation.mean_loss);
        agree(collective(), [&] {
            if (!job_.is_root()) return;
            io::write_file(run_.file("model.pt"), model->archive(), io::Overwrite::yes);
        });
        if (!picked.ids.empty()) {
            track.batches.push_back(picked.ids);
            if (!label(a, repeat, picked.ids, std::move(picked.scores))) return false;
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

    struct Trained {
        std::map<std::string, double> flops;  ///< by role
        TrainState state;  ///< the root's: a stop later in the cycle begins from here again
    };

    Trained train(Model& model, ExampleSource& labelled, std::uint64_t seed,
                  const std::string& title) {
        const auto timer = job_.phases().time("train");
        TrainOptions train = train_;
        train.seed = seed;
        train.batch_size = std::min(train.batch_size, labelled.size());
        Trainer trainer(model, labelled, nullptr, train, collective());
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
        return {trainer.flops(), state()};
    }

    /// What the method reads, with this cycle's model.
    std::unique_ptr<Predictor> predictor(const Model& model, const Method& method,
                                         std::uint32_t round, const PoolInfo& pool) {
        const auto needs = needs_of_choice(method.choice, method.acquisition);
        StrategyOptions strategy;
        // Deterministic predictions will do where one sample is enough.
        const bool sampled = std::find(needs.begin(), needs.end(), "samples") != needs.end();
        strategy.predictor.samples = sampled ? options_.samples : 0;
        strategy.predictor.strategies = strategies_for(needs, strategy);
        if (strategy.predictor.strategies.empty()) return nullptr;
        const bool consistent =
            std::find(needs.begin(), needs.end(), "consistent-samples") != needs.end();
        strategy.predictor.consistent_masks = sampled && (options_.consistent_masks || consistent);
        strategy.predictor.seed = job_.common().seed;
        strategy.predictor.round = round;
        return std::make_unique<Predictor>(ModelRoles{&model, reference_.get(), nullptr, {}}, pool,
                                           strategy.predictor);
    }

    /// The cycle's own policy, where the method is one that is trained on the way.
    std::optional<io::TrainedPolicy> train_agent_of(const Method& method, LoopTrack& track,
                                                    PredictionStream& stream,
                                                    std::span<const std::uint8_t> labelled,
                                                    std::uint32_t round,
                                                    const TrainState& trainer) {
        const std::string& kind = method.choice.agent;
        if (method.acquisition != kPolicy || kind == "fixed") return std::nullopt;
        std::optional<io::TrainedPolicy> start;
        if (!method.choice.policy.empty()) {
            agree(collective(), [&] { start = io::read_policy(method.choice.policy); });
        }
        const AgentOptions options{options_.k,         options_.agent_updates,
                                   job_.common().seed, round,
                                   track.agent,        fmt::format("{} agent", method.text)};
        const AgentCheckpoints checkpoints{
            clock_, [&](const TrainState& agent) { write_checkpoint(trainer, agent); },
            std::exchange(agent_state_, {}), state_.ledger};
        io::TrainedPolicy trained = train_agent(job_, stream, labelled, track.ids, track.labels,
                                                start ? &*start : nullptr, options, checkpoints);
        if (kind == "single") track.agent = trained.policy.parameters;
        return trained;
    }

    /// A batch in pick order: its ids on all ranks, its scores at the root.
    struct Picked {
        std::vector<std::int64_t> ids;
        std::vector<float> scores;
    };

    /// `trainer` is the state of the cycle's training, which has ended.
    Picked pick(const Model& model, std::size_t a, std::int64_t repeat, std::int64_t cycle,
                const TrainState& trainer) {
        const Method& method = methods_[a];
        const auto round = static_cast<std::uint32_t>(repeat * options_.cycles + cycle);
        std::unique_ptr<Predictor> pool_predictor, target_predictor;
        agree(collective(), [&] {
            pool_predictor = predictor(model, method, round, pool_.info());
            if (target_pool_)
                target_predictor = predictor(model, method, round, target_pool_->info());
        });
        const auto stream = stream_models(job_, pool_, std::move(pool_predictor));
        std::unique_ptr<PredictionStream> target;
        if (target_pool_) target = stream_models(job_, *target_pool_, std::move(target_predictor));
        const std::vector<std::uint8_t> labelled =
            mark_ids(collective(), state_.track(a, repeat).ids,
                     {stream->owned_rows(), stream->ids()}, options_.pool.path);
        const std::optional<io::TrainedPolicy> agent =
            train_agent_of(method, state_.track(a, repeat), *stream, labelled, round, trainer);
        const Choice choice =
            choose(job_, *stream, method.choice, method.acquisition, options_.k, round, labelled,
                   {labelled, target.get()}, agent ? &*agent : nullptr);
        for (const auto& [role, flops] : sum_flops(collective(), stream->flops()))
            state_.ledger["flops/scoring_" + role] += flops;
        return {
            collective().all_gather_v(std::span<const std::int64_t>(choice.selection.ids)).values,
            choice.selection.scores};
    }

    Job& job_;
    const LoopOptions& options_;
    std::vector<Method> methods_;
    const io::RunDirectory& run_;
    TrainOptions train_;
    io::PoolFile pool_, test_pool_;
    std::optional<io::PoolFile> target_pool_;
    std::unique_ptr<Model> reference_;
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
            const auto& accuracy = loop.state().track(a, repeat).test_accuracy;
            if (accuracy.empty()) continue;
            sum += accuracy.back();
            ++count;
        }
        if (count == 0) continue;
        facts["test_accuracy"][options.acquisitions[a]] = sum / static_cast<double>(count);
        job.print(fmt::format("{:<18} last accuracy {:.4f} (mean of {})", options.acquisitions[a],
                              sum / static_cast<double>(count), count));
    }
    job.finish(facts);
    return exit_code;
}

}  // namespace thresher::jobs
