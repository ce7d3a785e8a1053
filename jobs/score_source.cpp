#include "jobs/score_source.hpp"

#include <algorithm>
#include <limits>
#include <optional>
#include <unordered_set>

#include "io/block_reader.hpp"
#include "io/predictions_file.hpp"
#include "io/scores_file.hpp"
#include "src/acquisition/acquisition.hpp"
#include "src/base/agreement.hpp"
#include "src/base/check.hpp"
#include "src/strategy/predictor.hpp"

namespace thresher::jobs {

namespace {

constexpr std::int64_t kScoresBlockRows = std::int64_t{1} << 18;  // 1 MiB of scores

/// Room for the scores of `rows` under one acquisition.
std::span<float> allocate_scores(ShardScores& shard, const std::string& name) {
    const auto room =
        std::make_shared<std::vector<float>>(static_cast<std::size_t>(shard.rows.size()));
    shard.memory.push_back(room);
    return shard.scores[name] = *room;
}

/// Room for the scores of `rows` under each acquisition.
void allocate(ShardScores& shard, std::int64_t total_rows, RowRange rows,
              const std::vector<std::string>& names, bool with_ids) {
    shard.total_rows = total_rows;
    shard.rows = rows;
    for (const std::string& name : names) allocate_scores(shard, name);
    if (with_ids) shard.ids.resize(static_cast<std::size_t>(rows.size()));
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

/// Scores the rows of one view under all acquisitions into the shard.
void score_view(const std::vector<std::string>& acquisitions, const PredictionView& view,
                RowRange rows, ShardScores& shard) {
    const auto first = static_cast<std::size_t>(rows.begin - shard.rows.begin);
    const auto count = static_cast<std::size_t>(rows.size());
    for (const std::string& name : acquisitions) {
        find_acquisition(name).score(view, shard.scores[name].subspan(first, count));
    }
    if (!shard.ids.empty())
        std::copy(view.ids.begin(), view.ids.end(),
                  shard.ids.begin() + rows.begin - shard.rows.begin);
}

ShardScores from_scores_file(Job& job, const ScoreSourceOptions& options) {
    ShardScores shard;
    shard.input = options.scores;
    agree(job.collective(), [&] {
        const auto timer = job.phases().time("read");
        const io::ScoresFile file(options.scores);
        std::vector<std::string> names = options.acquisitions;
        if (names.empty()) names = file.acquisitions();
        const BlockPartition partition{file.rows(), kScoresBlockRows, job.collective().size()};
        allocate(shard, file.rows(), partition.owned_rows(job.collective().rank()), {},
                 !file.ids_are_rows());
        for (const std::string& name : names) map_or_read(file, name, shard);
        if (!shard.ids.empty()) file.read_ids(shard.rows, shard.ids);
        if (job.is_root()) shard.quarantine = file.quarantine();
    });
    return shard;
}

ShardScores from_predictions_file(Job& job, const ScoreSourceOptions& options) {
    ShardScores shard;
    shard.input = options.predictions;
    agree(job.collective(), [&] {
        const auto reader = io::open_predictions(options.predictions, job.collective().rank(),
                                                 job.collective().size());
        const io::PredictionsInfo& info = reader->info();
        std::vector<std::string> available;
        if (info.output_kind != io::OutputKind::none) available.emplace_back("log_probs");
        for (const std::string& role : info.loss_roles) available.push_back("losses/" + role);
        for (const std::string& name : options.acquisitions)
            check_fits(find_acquisition(name), available);

        allocate(shard, info.rows, reader->owned_rows(), options.acquisitions, info.has_ids);
        const auto progress = job.progress("score", shard.rows.size(), "rows");
        std::vector<float> log_probs;
        std::vector<std::int64_t> rows_as_ids;
        io::PredictionBlock block;
        while (reader->next(block)) {
            PredictionView view{{},
                                {},
                                info.samples,
                                info.classes,
                                block.losses,
                                job.common().seed,
                                static_cast<std::uint32_t>(options.round)};
            view.ids = block.ids;
            if (view.ids.empty()) {
                rows_as_ids.resize(static_cast<std::size_t>(block.rows.size()));
                for (std::size_t i = 0; i < rows_as_ids.size(); ++i) {
                    rows_as_ids[i] = block.rows.begin + static_cast<std::int64_t>(i);
                }
                view.ids = rows_as_ids;
            }
            const auto timer = job.phases().time("score");
            view.log_probs = block.outputs;
            if (info.output_kind == io::OutputKind::logits ||
                info.output_kind == io::OutputKind::probabilities) {
                log_probs.resize(block.outputs.size());
                (info.output_kind == io::OutputKind::logits
                     ? logits_to_log_probs
                     : probabilities_to_log_probs)(block.outputs, info.classes, log_probs);
                view.log_probs = log_probs;
            }
            score_view(options.acquisitions, view, block.rows, shard);
            progress->update(block.rows.end - shard.rows.begin);
        }
        progress->finish();
        shard.quarantine = reader->quarantine();
        job.phases().add("wait", reader->seconds_waiting());
    });
    return shard;
}

ShardScores from_models(Job& job, const ScoreSourceOptions& options) {
    const io::PoolFile pool = open_pool(job, options.pool);
    std::unique_ptr<Model> learner, reference;
    agree(job.collective(), [&] {
        if (!options.learner.empty())
            learner = load_model(options.learner, pool.info(), job.device());
        if (!options.reference.empty())
            reference = load_model(options.reference, pool.info(), job.device());
    });
    ShardScores shard = score_pool(job, pool, learner.get(), reference.get(), options.acquisitions,
                                   options.round, options.micro_batch);
    shard.input = options.pool.path;
    return shard;
}

}  // namespace

void add_score_source_options(CLI::App& app, ScoreSourceOptions& options, bool with_scores_file) {
    if (with_scores_file)
        app.add_option("--scores", options.scores, "Scores file, as `thresher score` writes it");
    app.add_option("--predictions", options.predictions,
                   "Predictions file, of Thresher or of any framework");
    add_pool_options(app, options.pool, false);
    app.add_option("--learner", options.learner, "Model file of the learner");
    app.add_option("--reference", options.reference, "Model file of the reference");
    app.add_option("--acquisition", options.acquisitions,
                   "What makes a row worth picking; see thresher list")
        ->delimiter(',');
    app.add_option("--round", options.round, "Another round draws other random numbers")
        ->check(CLI::Range(0U, ~0U));
    app.add_option("--micro-batch", options.micro_batch,
                   "Rows in one forward pass; 0 = chosen for the model")
        ->check(CLI::NonNegativeNumber);
}

ShardScores score_pool(Job& job, const io::PoolFile& pool, Model* learner, Model* reference,
                       const std::vector<std::string>& acquisitions, std::int64_t round,
                       std::int64_t micro_batch) {
    ShardScores shard;
    agree(job.collective(), [&] {
        std::vector<std::string> available;
        if (learner != nullptr) available.emplace_back("log_probs");
        if (learner != nullptr && pool.info().has_targets) available.emplace_back("losses/learner");
        if (reference != nullptr && pool.info().has_targets)
            available.emplace_back("losses/reference");
        for (const std::string& name : acquisitions) check_fits(find_acquisition(name), available);

        const auto source =
            io::make_block_reader(pool, job.collective().rank(), job.collective().size());
        allocate(shard, pool.info().rows, source->owned_rows(), acquisitions, pool.info().has_ids);
        std::optional<Predictor> predictor;
        const std::vector<std::string> strategies = strategies_for(acquisitions);
        std::unordered_set<std::int64_t> bad_targets;
        if (std::find(strategies.begin(), strategies.end(), "loss") != strategies.end()) {
            shard.quarantine = pool.bad_targets(shard.rows);
            for (const QuarantinedRow& row : shard.quarantine) bad_targets.insert(row.id);
        }
        if (!strategies.empty()) {
            predictor.emplace(ModelRoles{learner, reference}, pool.info(),
                              PredictorOptions{strategies, micro_batch});
        }
        const auto progress = job.progress("score", shard.rows.size(), "rows");
        Predictions predictions;
        Block block;
        while (source->next(block)) {
            if (predictor) {
                const auto timer = job.phases().time("predict");
                predictor->predict(block, predictions);
                for (const QuarantinedRow& row : predictions.quarantined) {
                    if (!bad_targets.contains(row.id)) shard.quarantine.push_back(row);
                }
            }
            const auto timer = job.phases().time("score");
            PredictionView view{block.ids,
                                predictions.log_probs,
                                predictions.samples,
                                predictions.classes,
                                {},
                                job.common().seed,
                                static_cast<std::uint32_t>(round)};
            for (const auto& [role, losses] : predictions.losses) view.losses[role] = losses;
            score_view(acquisitions, view, block.rows, shard);
            progress->update(block.rows.end - shard.rows.begin);
        }
        progress->finish();
        job.phases().add("wait", source->seconds_waiting());
        if (predictor) shard.flops = predictor->flops();
    });
    return shard;
}

ShardScores load_or_compute_scores(Job& job, const ScoreSourceOptions& options) {
    for (const std::string& name : options.acquisitions) {
        if (options.scores.empty()) static_cast<void>(find_acquisition(name));
    }
    const bool fused = options.scores.empty() && options.predictions.empty();
    THRESHER_CHECK_AS(
        UsageError, !fused || !options.pool.path.empty(),
        "nothing to score: give --scores, --predictions, or --pool with --learner or --reference");
    THRESHER_CHECK_AS(
        UsageError, options.scores.empty() || options.predictions.empty(),
        "--scores and --predictions were both given; scores are read from one of them");
    THRESHER_CHECK_AS(
        UsageError, fused || (options.learner.empty() && options.reference.empty()),
        "--learner and --reference score a pool, but --{} was given; leave out one or the other",
        options.scores.empty() ? "predictions" : "scores");
    THRESHER_CHECK_AS(UsageError, !options.acquisitions.empty() || !options.scores.empty(),
                      "--acquisition is missing; thresher list shows the known ones");
    ShardScores shard = !options.scores.empty()        ? from_scores_file(job, options)
                        : !options.predictions.empty() ? from_predictions_file(job, options)
                                                       : from_models(job, options);
    // Rows with a reason have no score, whatever a formula made of them.
    const std::int64_t first_row = shard.rows.begin;
    std::unordered_set<std::int64_t> bad;
    for (const QuarantinedRow& row : shard.quarantine) bad.insert(row.id);
    if (!bad.empty()) {
        for (std::int64_t row = shard.rows.begin; row < shard.rows.end; ++row) {
            const auto offset = static_cast<std::size_t>(row - first_row);
            if (!bad.contains(shard.ids.empty() ? row : shard.ids[offset])) continue;
            for (auto& [name, scores] : shard.scores)
                scores[offset] = std::numeric_limits<float>::quiet_NaN();
        }
    }
    return shard;
}

std::vector<std::string> strategies_for(const std::vector<std::string>& acquisitions) {
    bool log_probs = false, losses = false;
    for (const std::string& name : acquisitions) {
        for (const std::string_view need : find_acquisition(name).needs) {
            (need == "log_probs" ? log_probs : losses) = true;
        }
    }
    std::vector<std::string> strategies;
    if (log_probs) strategies.emplace_back("deterministic");
    if (losses) strategies.emplace_back("loss");
    return strategies;
}

std::vector<QuarantinedRow> gather_reasons(Collective& collective,
                                           const std::vector<QuarantinedRow>& first,
                                           const std::vector<QuarantinedRow>& second) {
    std::vector<QuarantinedRow> merged = gather_quarantine(collective, first);
    const std::vector<QuarantinedRow> later = gather_quarantine(collective, second);
    std::unordered_set<std::int64_t> ids;
    for (const QuarantinedRow& row : merged) ids.insert(row.id);
    for (const QuarantinedRow& row : later) {
        if (!ids.contains(row.id)) merged.push_back(row);
    }
    return merged;
}

}  // namespace thresher::jobs
