#include "src/training/train_options.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "src/base/check.hpp"
#include "src/training/prioritised/method.hpp"

namespace thresher {
namespace {

const char* name_of(OptimizerKind kind) { return kind == OptimizerKind::sgd ? "sgd" : "adamw"; }
const char* name_of(ScheduleKind kind) {
    return kind == ScheduleKind::constant ? "constant" : "cosine";
}
const char* name_of(AugmentKind kind) {
    switch (kind) {
        case AugmentKind::none:
            return "none";
        case AugmentKind::crop_flip:
            return "crop-flip";
        case AugmentKind::boxes:
            return "boxes";
    }
    return "";
}
const char* name_of(ContrastiveKind kind) {
    return kind == ContrastiveKind::softmax ? "softmax" : "sigmoid";
}

/// The one of these kinds that has this name.
template <class Kind>
Kind parse(const std::string& option, const std::string& name, std::initializer_list<Kind> kinds) {
    std::vector<std::string> names;
    for (const Kind kind : kinds) {
        if (name == name_of(kind)) return kind;
        names.emplace_back(name_of(kind));
    }
    fail<UsageError>("{} '{}' is not known; allowed: {}", option, name, fmt::join(names, ", "));
}

/// rho.
double filter_ratio(const TrainOptions& options) {
    return options.filter_ratio > 0.0 ? options.filter_ratio
                                      : find_method(options.method).filter_ratio;
}

}  // namespace

OptimizerKind optimizer_kind(const std::string& name) {
    return parse("optimizer", name, {OptimizerKind::sgd, OptimizerKind::adamw});
}

ScheduleKind schedule_kind(const std::string& name) {
    return parse("schedule", name, {ScheduleKind::constant, ScheduleKind::cosine});
}

AugmentKind augment_kind(const std::string& name) {
    return parse("augment", name, {AugmentKind::none, AugmentKind::crop_flip, AugmentKind::boxes});
}

ContrastiveKind contrastive_kind(const std::string& name) {
    return parse("contrastive", name, {ContrastiveKind::softmax, ContrastiveKind::sigmoid});
}

void check_options(const TrainOptions& options) {
    static_cast<void>(find_method(options.method));
    std::string problems;
    const auto check = [&](bool good, const char* name, double value, const char* allowed) {
        if (good) return;
        problems += fmt::format("{}{} is {}, allowed: {}", problems.empty() ? "" : "; ", name,
                                value, allowed);
    };
    const auto check_count = [&](const char* name, std::int64_t value, std::int64_t least) {
        check(value >= least, name, static_cast<double>(value),
              least == 0 ? "0 or more" : "1 or more");
    };
    check_count("epochs", options.epochs, 1);
    check_count("updates", options.updates, 0);
    check_count("batch-size", options.batch_size, 1);
    check_count("accumulate", options.accumulate, 1);
    check_count("chunks", options.chunks, 1);
    check(options.scoring.resolution > 0.0 && options.scoring.resolution <= 1.0,
          "scoring-resolution", options.scoring.resolution, "above 0, up to 1");
    check(options.scoring.clip >= 0.0 && std::isfinite(options.scoring.clip), "score-clip",
          options.scoring.clip, "above 0, or 0 for scores as they are");
    check_count("evaluate-every", options.evaluate_every, 0);
    check_count("patience", options.patience, 0);
    check_count("logical-shards", options.logical_shards, 1);
    check_count("window-blocks", options.window_blocks, 1);
    check(options.learning_rate > 0.0 && std::isfinite(options.learning_rate), "learning-rate",
          options.learning_rate, "above 0");
    const auto check_share = [&](const char* name, double value) {
        check(value >= 0.0 && value < 1.0, name, value, "from 0 to below 1");
    };
    check_share("momentum", options.momentum);
    check_share("beta1", options.beta1);
    check_share("beta2", options.beta2);
    check_share("label-smoothing", options.label_smoothing);
    check(
        options.filter_ratio == 0.0 || (options.filter_ratio >= 1.0 && options.filter_ratio <= 1e6),
        "filter-ratio", options.filter_ratio, "1 to 1e6, or 0 for the method's own");
    check(options.method != "uniform" || options.filter_ratio <= 1.0, "filter-ratio",
          options.filter_ratio, "1 for method uniform, which keeps every row");
    check(options.temperature >= 1e-30 && std::isfinite(options.temperature), "temperature",
          options.temperature, "1e-30 and more");
    check(options.epsilon > 0.0, "epsilon", options.epsilon, "above 0");
    check(options.weight_decay >= 0.0 && std::isfinite(options.weight_decay), "weight-decay",
          options.weight_decay, "0 or more");
    check(options.warmup_epochs >= 0.0 && std::isfinite(options.warmup_epochs), "warmup-epochs",
          options.warmup_epochs, "0 or more");
    THRESHER_CHECK_AS(UsageError, problems.empty(), "training options: {}", problems);
    THRESHER_CHECK_AS(
        UsageError,
        !find_method(options.method).joint || options.contrastive == ContrastiveKind::sigmoid,
        "method {} chooses pairs of an image and a caption by their sigmoid loss: it is for a "
        "two-tower, with --contrastive sigmoid",
        options.method);
    THRESHER_CHECK_AS(
        UsageError, !options.importance_weights || draws_rows(find_method(options.method)),
        "importance weights make up for the odds at which single rows are drawn, but method {} "
        "draws none; leave --importance-weights out, or give --method hard-learner, "
        "easy-reference or learnability",
        options.method);
}

std::vector<std::pair<std::string, std::string>> describe(const TrainOptions& options) {
    std::vector<std::pair<std::string, std::string>> rows;
    const auto add = [&](const char* name, const auto& value) {
        rows.emplace_back(name, fmt::format("{}", value));
    };
    if (options.updates > 0) {
        add("updates", options.updates);
    } else {
        add("epochs", options.epochs);
    }
    add("batch-size", options.batch_size);
    add("accumulate", options.accumulate);
    add("optimizer", name_of(options.optimizer));
    add("learning-rate", options.learning_rate);
    if (options.optimizer == OptimizerKind::sgd) {
        add("momentum", options.momentum);
    } else {
        add("beta1", options.beta1);
        add("beta2", options.beta2);
        add("epsilon", options.epsilon);
    }
    add("weight-decay", options.weight_decay);
    add("warmup-epochs", options.warmup_epochs);
    add("schedule", name_of(options.schedule));
    add("label-smoothing", options.label_smoothing);
    add("augment", name_of(options.augment));
    add("method", options.method);
    if (options.method != "uniform") {
        add("filter-ratio", filter_ratio(options));
        if (find_method(options.method).selector == "softmax") {
            add("temperature", options.temperature);
        }
        if (find_method(options.method).joint) add("chunks", options.chunks);
        if (draws_rows(find_method(options.method))) {
            add("importance-weights", options.importance_weights);
        }
        if (options.scoring.clip > 0.0) add("score-clip", options.scoring.clip);
        add("scoring-resolution", options.scoring.resolution);
        add("scoring-dtype", options.scoring.bf16 ? "bf16" : "float32");
    }
    add("on-nan", options.skip_nan ? "skip" : "stop");
    if (options.evaluate_every > 0) add("evaluate-every", options.evaluate_every);
    add("patience", options.patience);
    add("seed", options.seed);
    add("reproducible", options.reproducible);
    if (options.reproducible) add("logical-shards", options.logical_shards);
    add("window-blocks", options.window_blocks);
    return rows;
}

std::int64_t super_batch_size(const TrainOptions& options, std::int64_t batch_rows) {
    return std::llround(static_cast<double>(batch_rows) * filter_ratio(options));
}

ShardPlan shard_plan(const TrainOptions& options, std::int64_t batch_size, int ranks) {
    return {options.reproducible ? std::min(options.logical_shards, batch_size)
                                 : ranks * options.accumulate,
            ranks};
}

double learning_rate_at(const TrainOptions& options, std::int64_t step, std::int64_t total,
                        std::int64_t steps_per_epoch) {
    const double now = static_cast<double>(step);
    const double warmup = std::min(options.warmup_epochs * static_cast<double>(steps_per_epoch),
                                   static_cast<double>(total));
    if (now < warmup) {
        return options.learning_rate * std::min(1.0, (now + 1.0) / std::max(warmup, 1.0));
    }
    if (options.schedule == ScheduleKind::constant) return options.learning_rate;
    const double share = (now - warmup) / std::max(static_cast<double>(total) - warmup, 1.0);
    return options.learning_rate * 0.5 * (1.0 + std::cos(std::numbers::pi * share));
}

}  // namespace thresher
