// thresher train: training of a model on a pool, or on some of its rows, drawn uniformly or by
// priority, into a run directory.

#include <algorithm>
#include <tuple>

#include "io/run/run_directory.hpp"
#include "jobs/options/actor_options.hpp"
#include "jobs/steps/training/checkpointing.hpp"
#include "jobs/steps/training/roles.hpp"
#include "jobs/steps/training/training_inputs.hpp"
#include "jobs/verbs.hpp"
#include "src/base/agreement.hpp"
#include "src/base/check.hpp"
#include "src/base/log.hpp"
#include "src/base/stop_flag.hpp"
#include "src/models/model.hpp"
#include "src/training/actors/actor.hpp"
#include "src/training/actors/actor_feed.hpp"

namespace thresher::jobs {

namespace {

struct Options : TrainingChoice {
    ActorOptions actors;
    std::string run;
    bool resume = false;
};

void add_options(CLI::App& app, Options& options) {
    add_pool_options(app, options.pool, true);
    app.add_option("--rows", options.rows,
                   "Train on these ids alone: a batch.h5, a labels.csv or a text file");
    app.add_option("--labels", options.labels,
                   "Train on the rows of this labels.csv, with its labels");
    app.add_option("--validation-pool", options.validation,
                   "Pool for the validation curves and early stopping");
    add_model_options(app, options.model, false);
    app.add_option("--anchors", options.anchors,
                   "ssd, retinanet: shapes of anchors by the size of images (default), or by the "
                   "boxes that are trained on (data)")
        ->check(CLI::IsMember({"default", "data"}));
    app.add_option("--init", options.init, "Model file to go on from: one of ours, or TorchScript");
    app.add_option("--run", options.run, "Directory for model.pt, run.h5, checkpoints and log.txt")
        ->required();
    app.add_flag("--resume", options.resume, "Go on from the run's last checkpoint");
    add_training_options(app, options.training);
    app.add_option("--evaluate-every", options.training.train.evaluate_every,
                   "Updates between evaluations on the validation pool; 0 = an epoch")
        ->group("Training");
    add_method_options(app, options.method);
    add_actor_options(app, options.actors);
}

io::RunRecord record_of(const Trainer& trainer, std::map<std::string, double> ledger) {
    io::RunRecord record;
    const auto add = [&](const std::string& axis,
                         const std::map<std::string, std::vector<double>>& curves) {
        for (const auto& [name, values] : curves) {
            record.curves[axis + "/" + name] = {
                {static_cast<std::int64_t>(values.size())}, values, name, ""};
        }
    };
    add("steps", trainer.curves().steps);
    add("evaluations", trainer.curves().evaluations);
    record.ledger = std::move(ledger);
    for (const auto& [role, flops] : trainer.flops()) record.ledger["flops/" + role] = flops;
    return record;
}

/// Throws UsageError. Local.
void check(const Options& options) {
    check_method(options.method);
    THRESHER_CHECK_AS(UsageError, options.labels.empty() || options.method.reference_losses.empty(),
                      "--reference-losses are of the pool's targets, but --labels gives others; "
                      "give --reference");
    THRESHER_CHECK_AS(UsageError, options.model.name.empty() != options.init.empty(),
                      "give either --model NAME (from scratch) or --init FILE (go on from a file)");
    THRESHER_CHECK_AS(UsageError, options.rows.empty() || options.labels.empty(),
                      "--rows and --labels were both given; --labels names the rows as well");
}

/// Every setting once, as a table.
void announce(const Options& options, const TrainOptions& train, const Topology& topology,
              const TrainingInputs& inputs, const Trainer& trainer) {
    log::info("training {} on {} rows of {}", inputs.model->spec().name, inputs.examples->size(),
              options.pool.path);
    for (const auto& [name, value] : describe(train)) log::info("  {:<18} {}", name, value);
    if (inputs.model->spec().towers) {
        log::info("  {:<18} {}", "contrastive", options.training.contrastive);
    }
    for (const auto& [name, value] : describe(topology)) log::info("  {:<18} {}", name, value);
    if (train.method == "uniform") return;
    const Method& method = find_method(train.method);
    if (inputs.model->spec().towers && method.selector == "softmax" && !method.joint &&
        train.temperature > 0.2) {
        log::warn(
            "scores of pairs differ by tenths: at temperature {} the choice is nearly "
            "uniform; 0.1 or less follows them",
            train.temperature);
    }
    log::info("  {:<18} {} an update, of which {} are trained on", "candidates",
              trainer.candidates_per_update(), trainer.rows_per_update());
    if (trainer.candidates_per_update() == trainer.rows_per_update()) {
        log::warn("every candidate is trained on, so nothing is scored: method {} is uniform here",
                  train.method);
    }
    if (!inputs.scorers.reference_losses.empty()) {
        log::info("what the losses of {} took is not in the ledger",
                  options.method.reference_losses);
    }
}

/// Goes on from the newest checkpoint, where there is one; returns the ledger until then.
/// Collective.
std::map<std::string, double> resume(Collective& collective, const io::RunDirectory& run,
                                     const std::map<std::string, std::string>& settings,
                                     Trainer& trainer) {
    std::map<std::string, double> ledger;
    const auto checkpoint = io::load_newest_checkpoint(run.checkpoints(), collective);
    if (!checkpoint) {
        log::info("{} has no checkpoint yet: starting from the beginning", run.path());
        return ledger;
    }
    agree(collective, [&] {
        const auto then = required_json<std::map<std::string, std::string>>(*checkpoint, kSettings);
        check_same_settings(then, settings, run.path());
        trainer.import_state(state_in(kTrainer, checkpoint->files));
        ledger = required_json<std::map<std::string, double>>(*checkpoint, kLedger);
    });
    log::info("resumed from {} at update {} of {}", checkpoint->path, trainer.steps_done(),
              trainer.steps_planned());
    return ledger;
}

/// Says how it ended; returns what --json tells.
nlohmann::json report(const Trainer& trainer, TrainEnd end, const std::string& path) {
    nlohmann::json facts{{"updates", trainer.steps_done()},
                         {"rows_without_target", trainer.rows_without_target()},
                         {"candidates_without_score", trainer.candidates_without_score()},
                         {"skipped_updates", trainer.skipped_updates()},
                         {"flops", trainer.flops()},
                         {"early_stop", end == TrainEnd::early_stop}};
    // Names in order, and where they end in numbers by these: recall_at_5 before recall_at_10.
    const auto by_number = [](const std::string& name) {
        const std::size_t digits = name.find_last_not_of("0123456789") + 1;
        return std::tuple(name.substr(0, digits), name.size() - digits, name.substr(digits));
    };
    const auto& curves = trainer.curves().evaluations;
    std::vector<std::string> names;
    for (const auto& [name, values] : curves) {
        if (!values.empty() && name != "update") names.push_back(name);
    }
    std::sort(names.begin(), names.end(),
              [&](const auto& a, const auto& b) { return by_number(a) < by_number(b); });
    std::string summary;
    for (const std::string& name : names) {
        const double last = curves.at(name).back();
        facts[name] = last;
        summary += fmt::format(", {} {:.4f}", name, last);
    }
    log::info("trained {} updates{}{}, wrote {}", trainer.steps_done(),
              end == TrainEnd::early_stop ? " (stopped early)" : "", summary, path);
    const auto warn = [](std::int64_t count, const char* what) {
        if (count > 0) log::warn("{} {}", count, what);
    };
    warn(trainer.rows_without_target(),
         "times a row without a target or a caption was met and taught nothing");
    warn(trainer.candidates_without_score(),
         "times a candidate had no finite score (no target, no caption, or no number) and was not "
         "chosen");
    warn(trainer.skipped_updates(),
         "updates were left out, as a loss or a gradient was not finite");
    return facts;
}

/// Trains over the ranks of `collective`, from the newest checkpoint where the run goes on from
/// one, and writes what came of it; returns what --json tells. Collective.
nlohmann::json learn(Job& job, Collective& collective, const Options& options,
                     const TrainOptions& train, const io::RunDirectory& run, TrainingInputs& inputs,
                     const Topology& topology, const ActorLink* actors) {
    Trainer trainer(*inputs.model, *inputs.examples, inputs.validation.get(), train, collective,
                    inputs.scorers.companions(), actors);
    announce(options, train, topology, inputs, trainer);
    agree(collective, [&] {
        if (job.is_root()) run.write_config(job.config_text());
    });
    std::map<std::string, double> ledger_before;
    if (options.resume) ledger_before = resume(collective, run, inputs.settings, trainer);

    const auto all_phases = [&] {
        Phases phases = job.phases();
        for (const auto& [name, seconds] : trainer.phases().seconds()) phases.add(name, seconds);
        return phases;
    };
    std::map<std::string, double> ledger;
    const auto write_checkpoint = [&] {
        std::map<std::string, double> of_roles = trainer.costs();
        if (actors != nullptr) of_roles.merge(seconds_of_learners(collective, trainer.phases()));
        ledger = inputs.flops_before;
        add_costs(all_phases(), collective.traffic(), ledger_before, ledger, of_roles);
        io::write_checkpoint(run.checkpoints(), trainer.steps_done(), collective, [&] {
            io::CheckpointFiles files;
            files[kSettings] = nlohmann::json(inputs.settings).dump(2);
            files[kLedger] = nlohmann::json(ledger).dump(2);
            add_state(kTrainer, trainer.export_state(), files);
            return files;
        });
        agree(collective, [&] {
            if (!job.is_root()) return;
            io::write_run(run.curves_file(), record_of(trainer, ledger),
                          job.provenance(options.pool.path));
        });
    };
    CheckpointClock clock(options.training.checkpoint_every_s, options.training.max_walltime_s);
    const TrainEnd end =
        train_with_checkpoints(job, collective, trainer, clock, "train", write_checkpoint);
    write_checkpoint();
    agree(collective, [&] {
        if (!job.is_root()) return;
        io::write_file(run.file("model.pt"), inputs.model->archive(), io::Overwrite::yes);
    });
    const nlohmann::json facts = report(trainer, end, run.file("model.pt"));
    if (actors != nullptr) log_roles(ledger);
    job.phases() = all_phases();
    return facts;
}

}  // namespace

int run_train(Job& job) {
    Options options;
    add_options(job.options(), options);
    job.start();
    install_stop_signals();
    options.method.set(options.training.train);
    const TrainOptions train = options.training.settings(job.common());
    check(options);
    Collective& collective = job.collective();
    const Topology topology = options.actors.chosen(train, collective.size());
    const io::PoolFile pool = open_pool(job, options.pool);
    bool targets = true;
    agree(collective, [&] {
        targets = learns_targets(options);
        THRESHER_CHECK_AS(
            UsageError, options.labels.empty() || targets,
            "--labels gives classes, but a two-tower learns from captions, and a detector from "
            "boxes; use --rows to name rows");
    });
    if (options.labels.empty() && targets) check_targets(job, pool, options.pool.path);
    const io::RunDirectory run(options.run, run_start(options.resume, job.common()), collective);
    job.log_to(run);
    agree(collective, [&] { static_cast<void>(job.provenance(options.pool.path)); });

    if (topology.actors == 0) {
        TrainingInputs inputs;
        agree(collective,
              [&] { inputs = load_inputs(job, options, train, pool, job.device(), collective); });
        job.finish(learn(job, collective, options, train, run, inputs, topology, nullptr));
        return 0;
    }
    const bool learns = topology.is_learner(collective.rank());
    std::string device;
    agree(collective, [&] {
        const std::string& asked = options.actors.device_of(topology, collective.rank());
        device = asked.empty() ? job.device() : job.device_named(asked);
    });
    const auto group = job.split(learns ? 0 : 1, device);
    TrainingInputs inputs;
    agree(collective, [&] { inputs = load_inputs(job, options, train, pool, device, *group); });
    const auto messages = job.messages(
        topology.most_unsent(portion_plan(topology, train, SuperBatches(*inputs.examples, train))));
    nlohmann::json facts;
    run_in_roles(
        job, topology, *messages,
        [&] {
            const ActorLink link{topology, *messages, collective};
            facts = learn(job, *group, options, train, run, inputs, topology, &link);
        },
        [&] {
            run_actor(*inputs.model, inputs.scorers.companions(), *inputs.examples, train, topology,
                      *messages, collective);
        });
    job.finish(facts);
    return 0;
}

}  // namespace thresher::jobs
