// thresher train: training of a model on a pool, or on some of its rows, drawn uniformly or by
// priority, into a run directory.

#include <algorithm>
#include <tuple>

#include "io/block_reader.hpp"
#include "io/checksum.hpp"
#include "io/id_set.hpp"
#include "io/run_directory.hpp"
#include "jobs/options/actor_options.hpp"
#include "jobs/options/method_options.hpp"
#include "jobs/options/pool_options.hpp"
#include "jobs/options/training_options.hpp"
#include "jobs/steps/checkpointing.hpp"
#include "jobs/steps/roles.hpp"
#include "jobs/steps/scorers.hpp"
#include "jobs/verbs.hpp"
#include "src/base/agreement.hpp"
#include "src/base/check.hpp"
#include "src/base/log.hpp"
#include "src/base/stop_flag.hpp"
#include "src/models/anchors.hpp"
#include "src/models/detector/detector_spec.hpp"
#include "src/models/model.hpp"
#include "src/training/actors/actor.hpp"
#include "src/training/actors/actor_feed.hpp"
#include "src/training/evaluate.hpp"

namespace thresher::jobs {

namespace {

struct Options {
    PoolOptions pool;
    TrainingOptions training;
    MethodOptions method;
    ActorOptions actors;
    ModelOptions model;
    std::string rows, labels, validation, init, run, anchors = "default";
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

/// Whether the learner learns from targets, not from captions or boxes. Throws FileError.
bool learns_targets(const Options& options) {
    if (options.init.empty()) {
        return options.model.name != "two-tower" && !is_detector(options.model.name);
    }
    const ModelSpec spec = read_model_spec(options.init);
    return !spec.towers && !spec.detector;
}

/// The rows to train on, all where empty, and labels [rows] that replace the pool's, where given.
struct TrainingRows {
    std::vector<std::int64_t> rows, labels;
};

TrainingRows training_rows(const Options& options, const io::PoolFile& pool) {
    if (!options.labels.empty()) {
        const io::Labels labels =
            io::read_labels(options.labels, pool.info().class_names, pool.info().classes);
        THRESHER_CHECK_AS(FileError, !labels.ids.empty(), "{} holds no labelled row",
                          options.labels);
        return {pool.rows_of(labels.ids), labels.labels};
    }
    if (!options.rows.empty()) {
        const std::vector<std::int64_t> ids = io::read_id_set(options.rows);
        THRESHER_CHECK_AS(FileError, !ids.empty(), "{} holds no id", options.rows);
        return {pool.rows_of(ids), {}};
    }
    return {};
}

/// The shapes of anchors by the boxes of the rows to train on. Throws FileError.
std::vector<std::vector<AnchorShape>> anchors_of_boxes(const ModelSpec& spec,
                                                       const io::PoolFile& pool,
                                                       std::span<const std::int64_t> rows) {
    std::vector<LabelledBox> boxes;
    const auto add = [&](RowRange range) {
        const std::int64_t most = pool.most_boxes();
        std::vector<LabelledBox> own(static_cast<std::size_t>(range.size() * most));
        std::vector<std::int32_t> sizes(
            static_cast<std::size_t>(pool.info().has_image_sizes ? 2 * range.size() : 0));
        pool.read_boxes(range, most, own, sizes);
        std::copy_if(own.begin(), own.end(), std::back_inserter(boxes),
                     [](const LabelledBox& box) { return box.is_object(); });
    };
    if (rows.empty()) add({0, pool.info().rows});
    for (const std::int64_t row : rows) add({row, row + 1});
    return fit_anchors(spec, boxes);
}

/// What must not change between a run's beginning and its resumption.
std::map<std::string, std::string> settings_of(const Options& options, const TrainOptions& train,
                                               const ModelSpec& model) {
    std::map<std::string, std::string> settings;
    for (const auto& [name, value] : describe(train)) {
        if (name != "on-nan") settings[name] = value;  // may change, to get past such an update
    }
    if (model.towers) settings["contrastive"] = options.training.contrastive;
    settings["model"] = options.init.empty() ? to_json(model) : io::inputs_checksum(options.init);
    settings["pool"] = io::inputs_checksum(options.pool.path);
    settings["datasets"] = describe_datasets(options.pool);
    settings["rows"] = io::inputs_checksum(options.labels.empty() ? options.rows : options.labels);
    settings["validation-pool"] = io::inputs_checksum(options.validation);
    return settings;
}

/// Quarantines rows whose target is out of range, and refuses a pool without a single target.
/// Collective.
void check_targets(Job& job, const io::PoolFile& pool, const std::string& path) {
    Collective& collective = job.collective();
    const BlockPartition partition{pool.info().rows, pool.info().block_rows, collective.size()};
    const RowRange own = partition.owned_rows(collective.rank());
    std::vector<QuarantinedRow> bad;
    std::int64_t labelled = 0;
    agree(collective, [&] {
        bad = pool.bad_targets(own);
        std::vector<std::int64_t> targets(static_cast<std::size_t>(pool.info().block_rows));
        for (std::int64_t begin = own.begin; begin < own.end; begin += pool.info().block_rows) {
            const RowRange block{begin, std::min(own.end, begin + pool.info().block_rows)};
            targets.resize(static_cast<std::size_t>(block.size()));
            pool.read_targets(block, targets);
            labelled +=
                std::count_if(targets.begin(), targets.end(), [](auto t) { return t >= 0; });
        }
    });
    collective.all_reduce_sum(std::span(&labelled, 1));
    check_bad_rows(collective, bad, pool.info().rows, job.max_bad());
    log_quarantine(gather_quarantine(collective, bad));
    THRESHER_CHECK_AS(FileError, labelled > 0,
                      "{}: no row has a target, so there is nothing to train on; give --labels, a "
                      "pool with targets{}",
                      path,
                      pool.info().token_length > 0 ? ", or --model two-tower for its captions"
                      : pool.info().has_boxes      ? ", or --model ssd or retinanet for its boxes"
                                                   : "");
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

/// What the options name, in memory.
struct Inputs {
    std::unique_ptr<Model> model;
    std::unique_ptr<ExampleSource> examples, validation;
    LoadedScorers scorers;
    std::map<std::string, std::string> settings;
    std::map<std::string, double> flops_before;  ///< of models that were trained earlier
};

/// For `device`; `trainers` are the ranks that train. Local.
Inputs load(Job& job, const Options& options, const TrainOptions& train, const io::PoolFile& pool,
            const std::string& device, const Collective& trainers) {
    Inputs inputs;
    if (options.init.empty()) {
        ModelSpec spec = options.model.spec(pool.info());
        if (spec.towers && pool.has_vocabulary()) spec.towers->text_model = pool.vocabulary();
        if (options.anchors == "data") {
            THRESHER_CHECK_AS(UsageError, spec.detector.has_value(),
                              "--anchors is for detectors, and {} has none; leave it out",
                              spec.name);
            spec.detector->anchors =
                anchors_of_boxes(spec, pool, training_rows(options, pool).rows);
        }
        inputs.model = make_model(spec, job.common().seed, device);
    } else {
        THRESHER_CHECK_AS(UsageError, options.anchors == "default",
                          "--anchors is for new models, and those of {} are trained; leave it out",
                          options.init);
        inputs.model = load_model(options.init, pool.info(), device);
        check_same_vocabulary(inputs.model->spec(), pool, options.init);
    }
    const TrainingRows chosen = training_rows(options, pool);
    const std::int64_t cache = options.training.cache_bytes();
    inputs.examples = chosen.rows.empty()
                          ? io::make_example_source(pool, cache)
                          : io::make_example_source(pool, chosen.rows, cache, chosen.labels);
    inputs.scorers = load_scorers(options.method, pool, chosen.rows, job.common().seed, device);
    if (!options.validation.empty()) {
        const io::PoolFile held_out = io::open_pool(options.validation);
        check_fits(inputs.model->spec(), held_out.info(), options.validation);
        check_same_vocabulary(inputs.model->spec(), held_out, options.validation);
        inputs.validation = io::make_example_source(held_out, cache);
    }
    inputs.settings = settings_of(options, train, inputs.model->spec());
    inputs.settings.merge(describe_scorers(options.method, inputs.scorers));
    if (!train.reproducible) inputs.settings.merge(parallel_settings(trainers));
    const auto note = [&](const char* role, const std::string& path) {
        const double flops = training_flops_of(path);
        if (flops >= 0.0) inputs.flops_before[std::string("flops/") + role] = flops;
    };
    if (!options.init.empty()) note("init", options.init);
    if (inputs.scorers.online) note("online_pretraining", options.method.online);
    if (inputs.scorers.reference && !inputs.scorers.train_reference) {
        note("reference_pretraining", options.method.reference);
    }
    return inputs;
}

/// Every setting once, as a table.
void announce(const Options& options, const TrainOptions& train, const Topology& topology,
              const Inputs& inputs, const Trainer& trainer) {
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
                     const TrainOptions& train, const io::RunDirectory& run, Inputs& inputs,
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
        Inputs inputs;
        agree(collective,
              [&] { inputs = load(job, options, train, pool, job.device(), collective); });
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
    Inputs inputs;
    agree(collective, [&] { inputs = load(job, options, train, pool, device, *group); });
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
