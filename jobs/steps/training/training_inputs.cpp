#include "jobs/steps/training/training_inputs.hpp"

#include <algorithm>

#include "io/checksum.hpp"
#include "io/id_set.hpp"
#include "io/pool/block_reader.hpp"
#include "jobs/steps/training/checkpointing.hpp"
#include "jobs/steps/training/roles.hpp"
#include "src/base/agreement.hpp"
#include "src/base/check.hpp"
#include "src/models/anchors.hpp"
#include "src/models/detector/detector_spec.hpp"

namespace thresher::jobs {

namespace {

/// The rows to train on, all where empty, and labels [rows] that replace the pool's, where given.
struct TrainingRows {
    std::vector<std::int64_t> rows, labels;
};

TrainingRows training_rows(const TrainingChoice& choice, const io::PoolFile& pool) {
    if (!choice.labels.empty()) {
        const io::Labels labels =
            io::read_labels(choice.labels, pool.info().class_names, pool.info().classes);
        THRESHER_CHECK_AS(FileError, !labels.ids.empty(), "{} holds no labelled row",
                          choice.labels);
        return {pool.rows_of(labels.ids), labels.labels};
    }
    if (!choice.rows.empty()) {
        const std::vector<std::int64_t> ids = io::read_id_set(choice.rows);
        THRESHER_CHECK_AS(FileError, !ids.empty(), "{} holds no id", choice.rows);
        return {pool.rows_of(ids), {}};
    }
    return {};
}

constexpr std::int64_t kRowsAtOnce = std::int64_t{1} << 16;

/// The shapes of anchors by the boxes of the rows to train on. Throws FileError.
std::vector<std::vector<AnchorShape>> anchors_of_boxes(const ModelSpec& spec,
                                                       const io::PoolFile& pool,
                                                       std::span<const std::int64_t> rows) {
    std::vector<LabelledBox> boxes;
    Boxes read;
    const auto add = [&](RowRange range) {
        pool.read_boxes(range, read);
        for (std::int64_t i = 0; i < read.count(); ++i) boxes.push_back(read.box(i));
    };
    for (const std::int64_t row : rows) add({row, row + 1});
    const std::int64_t all = rows.empty() ? pool.info().rows : 0;
    for (std::int64_t begin = 0; begin < all; begin += kRowsAtOnce) {
        add({begin, std::min(all, begin + kRowsAtOnce)});
    }
    return fit_anchors(spec, boxes);
}

/// What must not change between a run's beginning and its resumption.
std::map<std::string, std::string> settings_of(const TrainingChoice& choice,
                                               const TrainOptions& train, const ModelSpec& model) {
    std::map<std::string, std::string> settings = lasting_settings(train);
    if (model.towers) settings["contrastive"] = choice.training.contrastive;
    settings["model"] = choice.init.empty() ? to_json(model) : io::inputs_checksum(choice.init);
    settings["pool"] = io::inputs_checksum(choice.pool.path);
    settings["datasets"] = describe_datasets(choice.pool);
    settings["rows"] = io::inputs_checksum(choice.labels.empty() ? choice.rows : choice.labels);
    settings["validation-pool"] = io::inputs_checksum(choice.validation);
    return settings;
}

}  // namespace

bool learns_targets(const TrainingChoice& choice) {
    if (choice.init.empty()) {
        return choice.model.name != "two-tower" && !is_detector(choice.model.name);
    }
    const ModelSpec spec = read_model_spec(choice.init);
    return !spec.towers && !spec.detector;
}

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

TrainingInputs load_inputs(Job& job, const TrainingChoice& choice, const TrainOptions& train,
                           const io::PoolFile& pool, const std::string& device,
                           const Collective& trainers) {
    TrainingInputs inputs;
    if (choice.init.empty()) {
        ModelSpec spec = choice.model.spec(pool.info());
        if (spec.towers && pool.has_vocabulary()) spec.towers->text_model = pool.vocabulary();
        if (choice.anchors == "data") {
            THRESHER_CHECK_AS(UsageError, spec.detector.has_value(),
                              "--anchors is for detectors, and {} has none; leave it out",
                              spec.name);
            spec.detector->anchors = anchors_of_boxes(spec, pool, training_rows(choice, pool).rows);
        }
        inputs.model = make_model(spec, job.common().seed, device);
    } else {
        THRESHER_CHECK_AS(UsageError, choice.anchors == "default",
                          "--anchors is for new models, and those of {} are trained; leave it out",
                          choice.init);
        THRESHER_CHECK_AS(UsageError, choice.model.class_heads == 1 && !choice.model.loss_head,
                          "--class-heads and --loss-head are for new models, and {} is trained; "
                          "leave them out, or train anew with --model",
                          choice.init);
        inputs.model = load_model(choice.init, pool.info(), device);
        check_same_vocabulary(inputs.model->spec(), pool, choice.init);
    }
    const TrainingRows chosen = training_rows(choice, pool);
    const std::int64_t cache = choice.training.cache_bytes();
    inputs.examples = chosen.rows.empty()
                          ? io::make_example_source(pool, cache)
                          : io::make_example_source(pool, chosen.rows, cache, chosen.labels);
    inputs.scorers = load_scorers(choice.method, pool, chosen.rows, job.common().seed, device);
    if (!choice.validation.empty()) {
        const io::PoolFile held_out = io::open_pool(choice.validation);
        check_fits(inputs.model->spec(), held_out.info(), choice.validation);
        check_same_vocabulary(inputs.model->spec(), held_out, choice.validation);
        inputs.validation = io::make_example_source(held_out, cache);
    }
    inputs.settings = settings_of(choice, train, inputs.model->spec());
    inputs.settings.merge(describe_scorers(choice.method, inputs.scorers));
    if (!train.reproducible) inputs.settings.merge(parallel_settings(trainers));
    const auto note = [&](const char* role, const std::string& path) {
        const double flops = training_flops_of(path);
        if (flops >= 0.0) inputs.flops_before[std::string("flops/") + role] = flops;
    };
    if (!choice.init.empty()) note("init", choice.init);
    if (inputs.scorers.online) note("online_pretraining", choice.method.online);
    if (inputs.scorers.reference && !inputs.scorers.train_reference) {
        note("reference_pretraining", choice.method.reference);
    }
    return inputs;
}

}  // namespace thresher::jobs
