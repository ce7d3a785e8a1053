#include "jobs/options/training_options.hpp"

#include <fmt/ranges.h>

#include "jobs/options/numbers.hpp"
#include "src/base/check.hpp"
#include "src/models/detector/detector_spec.hpp"

namespace thresher::jobs {

void add_training_options(CLI::App& app, TrainingOptions& options) {
    const std::string group = "Training";
    TrainOptions& train = options.train;
    const auto add = [&](const char* name, auto& value, const char* text) {
        return app.add_option(name, value, text)->group(group);
    };
    add("--epochs", train.epochs, "Passes over the training rows; under --method, as candidates");
    add("--updates", train.updates, "Updates instead of epochs; 0 = as many as the epochs have");
    add("--batch-size", train.batch_size, "Rows of one update, over all ranks");
    add("--accumulate", train.accumulate,
        "Pieces in which a rank works through its part of a batch");
    add("--optimizer", options.optimizer, "sgd (with momentum) or adamw");
    add("--learning-rate", train.learning_rate, "Largest learning rate");
    add("--momentum", train.momentum, "sgd");
    add("--weight-decay", train.weight_decay, "Of matrices and kernels");
    add("--warmup-epochs", train.warmup_epochs, "Epochs in which the learning rate rises from 0");
    add("--schedule", options.schedule, "constant or cosine");
    add("--label-smoothing", train.label_smoothing, "Share of each target spread over all classes");
    add("--augment", options.augment,
        "none, crop-flip, or boxes (SSD's recipe, for pools with boxes)");
    add("--contrastive", options.contrastive, "two-tower: softmax (CLIP) or sigmoid (SigLIP)");
    add("--patience", train.patience,
        "Evaluations (epochs) without a lower validation loss before training ends; 0 = never");
    add("--on-nan", options.on_nan,
        "A loss or gradient that is not finite: stop, or skip (ten in a row at most)");
    app.add_flag("--reproducible", train.reproducible, "The same bits for any number of ranks")
        ->group(group);
    add("--logical-shards", train.logical_shards, "Pieces of a batch under --reproducible");
    add("--window-blocks", train.window_blocks, "Blocks whose rows are shuffled together");
    add("--cache", options.cache_mib, "MiB of examples that each rank keeps in memory")
        ->check(zero_or_more());
    add("--checkpoint-every", options.checkpoint_every_s, "Seconds between checkpoints")
        ->check(zero_or_more());
    add("--max-walltime", options.max_walltime_s,
        "Seconds after which to checkpoint and end with code 85; 0 = never")
        ->check(zero_or_more());
}

void TowerOptions::apply(ModelSpec& spec) const {
    if (!any()) return;
    THRESHER_CHECK_AS(UsageError, text_width >= 0 && text_layers >= -1 && embedding >= 0,
                      "text width {}, text layers {} and embedding size {} were given; a tower has "
                      "at least one of each, or no layer",
                      text_width, text_layers, embedding);
    THRESHER_CHECK_AS(UsageError, spec.towers.has_value(),
                      "{} has no towers to shape; leave the image tower, the text width and layers "
                      "and the embedding size out, or use a two-tower",
                      spec.name);
    if (!image.empty()) spec.towers->image = image;
    if (text_width > 0) spec.towers->text_width = text_width;
    if (text_layers >= 0) spec.towers->text_layers = text_layers;
    if (embedding > 0) spec.towers->embedding = embedding;
}

void add_tower_options(CLI::App& app, TowerOptions& options, const std::string& prefix,
                       const std::string& group) {
    const auto add = [&](const std::string& name, auto& value, const std::string& text) {
        return app.add_option("--" + prefix + name, value, text)->group(group);
    };
    const Towers usual;
    add("image-tower", options.image,
        fmt::format("two-tower: built-in model that embeds images; {} unless given", usual.image));
    add("text-width", options.text_width,
        fmt::format("two-tower: width of the transformer that reads captions; {} unless given",
                    usual.text_width));
    add("text-layers", options.text_layers,
        fmt::format("two-tower: its layers; {} unless given", usual.text_layers));
    add("embedding-size", options.embedding,
        fmt::format("two-tower: width of the embeddings; {} unless given", usual.embedding));
}

void add_model_options(CLI::App& app, ModelOptions& options, bool required) {
    app.add_option("--model", options.name,
                   "Built-in model to train from scratch; see thresher list")
        ->required(required);
    app.add_option("--dropout", options.dropout, "Dropout probability; below 0: the model's own");
    app.add_option("--hidden", options.hidden, "mlp: widths of the hidden layers")
        ->delimiter(',')
        ->check(above_zero());
    app.add_option("--trunk", options.trunk,
                   fmt::format("ssd, retinanet: what turns images into features: {}; small below "
                               "256 pixels, else vgg16 and resnet50, unless given",
                               fmt::join(trunks(), ", ")));
    app.add_option("--class-heads", options.class_heads,
                   "ssd, retinanet: 2 trains two class heads side by side, whose disagreement is "
                   "acquisition box-discrepancy")
        ->check(CLI::Range(1, 2));
    app.add_flag("--loss-head", options.loss_head,
                 "ssd, retinanet: train a head beside it that predicts the loss of each image, for "
                 "acquisition predicted-loss");
    add_tower_options(app, options.towers, "", "Options");
}

ModelSpec ModelOptions::spec(const PoolInfo& pool) const {
    ModelSpec spec = spec_for_pool(name, pool);
    THRESHER_CHECK_AS(UsageError, dropout < 1.0, "--dropout is {}; it is a probability below 1",
                      dropout);
    if (dropout >= 0.0) spec.dropout = dropout;
    if (!hidden.empty()) spec.hidden = hidden;
    towers.apply(spec);
    if (!trunk.empty()) use_trunk(spec, trunk);
    THRESHER_CHECK_AS(UsageError, spec.detector || (class_heads == 1 && !loss_head),
                      "--class-heads and --loss-head are for detectors, but {} finds no objects; "
                      "leave them out, or use ssd or retinanet",
                      name);
    if (spec.detector) {
        spec.detector->class_heads = class_heads;
        spec.detector->loss_head = loss_head;
    }
    return spec;
}

std::map<std::string, std::string> lasting_settings(const TrainOptions& train) {
    std::map<std::string, std::string> settings;
    for (const auto& [name, value] : describe(train)) settings[name] = value;
    settings.erase("on-nan");
    return settings;
}

io::RunStart run_start(bool resume, const CommonOptions& common) {
    THRESHER_CHECK_AS(
        UsageError, !resume || !common.overwrite,
        "--resume goes on with the run and --overwrite replaces it; give one of them");
    if (resume) return io::RunStart::resume;
    return common.overwrite ? io::RunStart::overwrite : io::RunStart::fresh;
}

TrainOptions TrainingOptions::settings(const CommonOptions& common) const {
    TrainOptions settings = train;
    settings.optimizer = optimizer_kind(optimizer);
    settings.schedule = schedule_kind(schedule);
    settings.augment = augment_kind(augment);
    settings.contrastive = contrastive_kind(contrastive);
    settings.seed = common.seed;
    THRESHER_CHECK_AS(UsageError, on_nan == "stop" || on_nan == "skip",
                      "--on-nan '{}' is not known; allowed: stop, skip", on_nan);
    settings.skip_nan = on_nan == "skip";
    check_options(settings);
    return settings;
}

}  // namespace thresher::jobs
