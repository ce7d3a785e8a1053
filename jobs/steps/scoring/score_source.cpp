#include "jobs/steps/scoring/score_source.hpp"

#include <algorithm>
#include <limits>
#include <optional>
#include <unordered_set>

#include "io/predictions/scores_file.hpp"
#include "jobs/options/aggregate_options.hpp"
#include "src/acquisition/acquisition.hpp"
#include "src/acquisition/joint/joint.hpp"
#include "src/base/agreement.hpp"
#include "src/base/check.hpp"
#include "src/strategy/strategy.hpp"

namespace thresher::jobs {

namespace {

constexpr std::int64_t kScoresBlockRows = std::int64_t{1} << 18;  // 1 MiB of scores

/// Room for the scores of the shard's rows under one acquisition.
std::span<float> allocate_scores(ShardScores& shard, const std::string& name) {
    const auto room =
        std::make_shared<std::vector<float>>(static_cast<std::size_t>(shard.rows.size()));
    shard.memory.push_back(room);
    return shard.scores[name] = *room;
}

/// The scores of the shard's rows: where the file keeps them if it can be, read otherwise.
void map_or_read(const io::ScoresFile& file, const std::string& name, ShardScores& shard) {
    if (std::optional<io::MappedRows> mapped = file.map(name, shard.rows)) {
        const auto kept = std::make_shared<io::MappedRows>(std::move(*mapped));
        shard.scores[name] = {reinterpret_cast<float*>(kept->bytes().data()),
                              kept->bytes().size() / sizeof(float)};
        shard.memory.push_back(kept);
        return;
    }
    file.read(name, shard.rows, allocate_scores(shard, name));
}

/// Rows with a reason have no score, whatever a formula made of them.
void drop_quarantined(ShardScores& shard) {
    for (const std::size_t offset : quarantined_offsets(shard)) {
        for (auto& [name, scores] : shard.scores)
            scores[offset] = std::numeric_limits<float>::quiet_NaN();
    }
}

/// Rows that had their numbers for ids get the ids of the pool.
void take_ids(const io::PoolFile& pool, ShardScores& shard) {
    shard.ids.resize(static_cast<std::size_t>(shard.rows.size()));
    pool.read_ids(shard.rows, shard.ids);
    for (QuarantinedRow& row : shard.quarantine) {
        if (row.id < 0 || row.id >= shard.total_rows) continue;
        pool.read_ids({row.id, row.id + 1}, std::span(&row.id, 1));
    }
}

bool contains(std::span<const std::string_view> needs, std::string_view need) {
    return std::find(needs.begin(), needs.end(), need) != needs.end();
}

/// The predictor that gives the needs; null where they need no model.
std::unique_ptr<Predictor> predictor_for(Job& job, StrategyOptions strategy,
                                         std::span<const std::string_view> needs,
                                         const io::PoolFile& pool) {
    std::vector<std::string>& strategies = strategy.predictor.strategies;
    if (strategies.empty()) strategies = strategies_for(needs, strategy);
    if (strategies.empty()) return nullptr;
    const bool monte_carlo =
        std::find(strategies.begin(), strategies.end(), "monte-carlo") != strategies.end();
    if (monte_carlo && contains(needs, "consistent-samples")) {
        strategy.predictor.consistent_masks = true;
    }
    if (contains(needs, "box-flips")) strategy.predictor.box_flips = true;
    return make_predictor(job, strategy, pool);
}

/// What rows are compared with, in memory.
struct OtherRowsInMemory {
    RowPredictions labelled, neighbours, target;

    OtherRows view() const {
        return {labelled.embeddings, neighbours.embeddings, neighbours.ids, target.log_probs};
    }
};

OtherRowsInMemory find_other_rows(Job& job, PredictionStream& stream,
                                  std::span<const std::string_view> needs,
                                  const Comparisons& comparisons) {
    Collective& collective = job.collective();
    OtherRowsInMemory others;
    if (contains(needs, "labelled")) {
        others.labelled = gather_predictions(collective, stream,
                                             marked_rows(collective, stream, comparisons.labelled));
    }
    const std::uint64_t seed = job.common().seed;
    if (contains(needs, "neighbours")) {
        others.neighbours =
            gather_predictions(collective, stream, neighbour_rows(stream.total_rows(), seed));
    }
    if (contains(needs, "target-predictions")) {
        PredictionStream& target = *comparisons.target;
        THRESHER_CHECK(target.shape().samples == stream.shape().samples &&
                           target.shape().classes == stream.shape().classes,
                       "the target predictions have {} samples of {} classes, those of the pool {} "
                       "of {}; make both with the same models",
                       target.shape().samples, target.shape().classes, stream.shape().samples,
                       stream.shape().classes);
        others.target =
            gather_predictions(collective, target, target_rows(target.total_rows(), seed));
    }
    return others;
}

}  // namespace

void add_score_source_options(CLI::App& app, ScoreSourceOptions& options, bool with_scores_file) {
    if (with_scores_file)
        app.add_option("--scores", options.scores, "Scores file, as `thresher score` writes it");
    app.add_option("--predictions", options.predictions,
                   "Predictions file, of Thresher or of any framework");
    add_pool_options(app, options.pool, false);
    options.strategy.predictor.strategies.clear();  // those that the acquisition needs
    add_strategy_options(app, options.strategy);
    app.add_option("--acquisition", options.acquisitions,
                   "What makes a row worth picking; see thresher list acquisitions")
        ->delimiter(',');
    app.add_option("--labelled", options.labelled,
                   "Ids that have labels: a batch.h5, a labels.csv or a text file of ids");
    app.add_option("--target-pool", options.target_pool,
                   "epig: pool of what the model will be used for");
    app.add_option("--target-predictions", options.target_predictions,
                   "epig: predictions for what the model will be used for");
}

ShardScores read_scores(Job& job, const std::string& path, const PoolOptions& pool,
                        std::vector<std::string> acquisitions) {
    ShardScores shard;
    bool has_ids = false;
    agree(job.collective(), [&] {
        const auto timer = job.phases().time("read");
        const io::ScoresFile file(path);
        if (acquisitions.empty()) acquisitions = file.acquisitions();
        shard.total_rows = file.rows();
        shard.rows =
            BlockPartition{file.rows(), kScoresBlockRows, job.collective().size()}.owned_rows(
                job.collective().rank());
        for (const std::string& name : acquisitions) map_or_read(file, name, shard);
        has_ids = !file.ids_are_rows();
        if (has_ids) {
            shard.ids.resize(static_cast<std::size_t>(shard.rows.size()));
            file.read_ids(shard.rows, shard.ids);
        }
        shard.quarantine = file.quarantine();
    });
    drop_quarantined(shard);
    agree(job.collective(), [&] {
        if (pool.path.empty()) return;
        const io::PoolFile scored = io::open_pool(pool.path, pool.paths);
        THRESHER_CHECK_AS(UsageError, scored.info().rows == shard.total_rows,
                          "{} has {} rows, but {} scores were read; give the pool that was scored",
                          pool.path, scored.info().rows, shard.total_rows);
        if (!has_ids && scored.info().has_ids) take_ids(scored, shard);
    });
    if (!job.is_root()) shard.quarantine.clear();  // told once
    return shard;
}

std::vector<std::string> strategies_for(std::span<const std::string_view> needs,
                                        const StrategyOptions& options) {
    const bool samples = contains(needs, "samples") || options.predictor.samples > 0;
    std::vector<std::string> strategies;
    if (contains(needs, "log_probs") || contains(needs, "samples")) {
        strategies.emplace_back(!options.ensemble.empty() ? "ensemble"
                                : samples                 ? "monte-carlo"
                                                          : "deterministic");
    }
    for (const char* name : {"embedding", "boxes", "loss", "predicted-loss"}) {
        const auto& produces = find_strategy(name).produces;
        const bool wanted =
            std::any_of(produces.begin(), produces.end(),
                        [&](std::string_view product) { return contains(needs, product); });
        if (wanted) strategies.emplace_back(name);
    }
    return strategies;
}

std::vector<std::string_view> needs_of(const std::vector<std::string>& acquisitions) {
    std::vector<std::string_view> needs;
    for (const std::string& name : acquisitions) {
        const JointAcquisition* joint = find_joint_acquisition(name);
        const std::vector<std::string_view>& more =
            joint != nullptr ? joint->needs : find_acquisition(name).needs;
        needs.insert(needs.end(), more.begin(), more.end());
    }
    return needs;
}

std::unique_ptr<PredictionStream> open_stream(Job& job, const ScoreSourceOptions& options,
                                              std::span<const std::string_view> needs) {
    THRESHER_CHECK_AS(
        UsageError, !options.predictions.empty() || !options.pool.path.empty(),
        "nothing to score: give --scores, --predictions, or --pool with --learner or --reference");
    THRESHER_CHECK_AS(UsageError, options.predictions.empty() || !options.strategy.has_models(),
                      "models score a pool, but --predictions was given; leave out one or the "
                      "other");
    std::optional<io::PoolFile> pool;
    if (!options.pool.path.empty()) pool = open_pool(job, options.pool);
    if (!options.predictions.empty()) {
        warn_without_models(job, options.predictions);
        return stream_predictions_file(job, options.predictions, pool ? &*pool : nullptr);
    }
    std::unique_ptr<Predictor> predictor;
    agree(job.collective(),
          [&] { predictor = predictor_for(job, options.strategy, needs, *pool); });
    return stream_models(job, *pool, std::move(predictor));
}

std::unique_ptr<PredictionStream> open_target_stream(Job& job, const ScoreSourceOptions& options,
                                                     std::span<const std::string_view> needs) {
    THRESHER_CHECK_AS(UsageError, options.target_pool.empty() || options.target_predictions.empty(),
                      "--target-pool and --target-predictions were both given; one is enough");
    if (!options.target_predictions.empty()) {
        return stream_predictions_file(job, options.target_predictions, nullptr);
    }
    if (options.target_pool.empty()) return nullptr;
    THRESHER_CHECK_AS(UsageError, options.predictions.empty(),
                      "--target-pool needs the models that made {}; give --target-predictions, "
                      "made by the same models",
                      options.predictions);
    const io::PoolFile pool = open_pool(job, options.target_pool);
    std::unique_ptr<Predictor> predictor;
    agree(job.collective(), [&] { predictor = predictor_for(job, options.strategy, needs, pool); });
    return stream_models(job, pool, std::move(predictor));
}

ShardScores score_stream(Job& job, PredictionStream& stream,
                         const std::vector<std::string>& acquisitions, std::uint32_t round,
                         const Comparisons& comparisons,
                         const std::function<void(const PredictionView&, RowRange)>& keep) {
    Collective& collective = job.collective();
    std::vector<std::string> available = stream.available();
    if (stream.shape().embedding_size > 0) available.emplace_back("neighbours");
    if (any_rank(collective, !comparisons.labelled.empty())) available.emplace_back("labelled");
    if (comparisons.target != nullptr) available.emplace_back("target-predictions");
    for (const std::string& name : acquisitions) check_fits(find_acquisition(name), available);
    const auto needs = needs_of(acquisitions);
    if (contains(needs, "boxes")) {
        check_class_weights(comparisons.aggregation.class_weights,
                            stream.shape().boxes.classes - 1);
    }
    const OtherRowsInMemory others = find_other_rows(job, stream, needs, comparisons);

    ShardScores shard;
    agree(collective, [&] {
        shard.total_rows = stream.total_rows();
        shard.rows = stream.owned_rows();
        shard.ids = stream.ids();
        for (const std::string& name : acquisitions) allocate_scores(shard, name);
        const auto progress = job.progress(job.of_this_rank("score"), shard.rows.size(), "rows");
        PredictionView view;
        view.seed = job.common().seed;
        view.round = round;
        view.others = others.view();
        view.aggregation = comparisons.aggregation;
        RowRange rows;
        while (stream.next(view, rows)) {
            give_up_if_others_failed(collective);
            const auto timer = job.phases().time("score");
            const auto first = static_cast<std::size_t>(rows.begin - shard.rows.begin);
            for (const std::string& name : acquisitions) {
                find_acquisition(name).score(
                    view, shard.scores[name].subspan(first, static_cast<std::size_t>(rows.size())));
            }
            if (keep) keep(view, rows);
            progress->update(rows.end - shard.rows.begin);
        }
        progress->finish();
        shard.quarantine = stream.quarantine();
        job.phases().add("wait", stream.seconds_waiting());
    });
    drop_quarantined(shard);
    return shard;
}

std::vector<std::size_t> quarantined_offsets(const ShardScores& shard) {
    std::unordered_set<std::int64_t> bad;
    for (const QuarantinedRow& row : shard.quarantine) bad.insert(row.id);
    std::vector<std::size_t> offsets;
    if (bad.empty()) return offsets;
    for (std::int64_t row = shard.rows.begin; row < shard.rows.end; ++row) {
        const auto offset = static_cast<std::size_t>(row - shard.rows.begin);
        if (bad.contains(shard.ids.empty() ? row : shard.ids[offset])) offsets.push_back(offset);
    }
    return offsets;
}

std::vector<QuarantinedRow> gather_reasons(Collective& collective,
                                           const std::vector<QuarantinedRow>& first,
                                           const std::vector<QuarantinedRow>& second) {
    std::vector<QuarantinedRow> merged = gather_quarantine(collective, first);
    const std::vector<QuarantinedRow> later = gather_quarantine(collective, second);
    std::unordered_set<std::int64_t> ids;
    for (const QuarantinedRow& row : merged) ids.insert(row.id);
    for (const QuarantinedRow& row : later) {
        if (ids.insert(row.id).second) merged.push_back(row);
    }
    return merged;
}

}  // namespace thresher::jobs
