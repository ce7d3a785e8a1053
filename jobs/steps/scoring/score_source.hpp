#pragma once

// Scores for the verbs score, select and loop, from wherever the user is: a scores file,
// predictions of any framework, or a pool and models. Nothing is kept but scores.

#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "jobs/options/pool_options.hpp"
#include "jobs/options/strategy_options.hpp"
#include "jobs/steps/scoring/id_marks.hpp"
#include "jobs/steps/scoring/prediction_stream.hpp"

namespace thresher::jobs {

struct ScoreSourceOptions {
    std::string scores, predictions;
    PoolOptions pool;
    StrategyOptions strategy;
    std::vector<std::string> acquisitions, labelled;
    std::string target_pool, target_predictions;
};

/// Adds --predictions, --pool, the options of strategies, --acquisition, --labelled, --target-pool,
/// --target-predictions and, where asked for, --scores.
void add_score_source_options(CLI::App& app, ScoreSourceOptions& options, bool with_scores_file);

/// The scores of the rows this rank owns.
struct ShardScores {
    std::int64_t total_rows = 0;
    RowRange rows;
    std::vector<std::int64_t> ids;  ///< [rows]; empty where ids equal rows
    std::map<std::string, std::span<float>>
        scores;                                 ///< acquisition -> [rows]; NaN where quarantined
    std::vector<std::shared_ptr<void>> memory;  ///< what holds the scores
    std::vector<QuarantinedRow> quarantine;     ///< this rank's

    OwnRows own() const { return {rows, ids}; }
};

/// The scores in a file; all of its acquisitions where none is named. A file without ids has those
/// of the pool, where one is given. Throws the same FileError or UsageError on all ranks.
/// Collective.
ShardScores read_scores(Job& job, const std::string& path, const PoolOptions& pool,
                        std::vector<std::string> acquisitions);

/// What `needs` are read from, on the fly where no predictions file was named, with the strategies
/// that give what is needed unless --strategy says otherwise. Throws UsageError on options that do
/// not fit, FileError on files. Collective.
std::unique_ptr<PredictionStream> open_stream(Job& job, const ScoreSourceOptions& options,
                                              std::span<const std::string_view> needs);
/// The same for the pool or the predictions that epig compares with; null where none were named.
std::unique_ptr<PredictionStream> open_target_stream(Job& job, const ScoreSourceOptions& options,
                                                     std::span<const std::string_view> needs);

/// The strategies that give `needs` with the models there are: monte-carlo or ensemble where
/// several samples are asked for.
std::vector<std::string> strategies_for(std::span<const std::string_view> needs,
                                        const StrategyOptions& options);

/// Words of Acquisition::needs of all the acquisitions. Throws UsageError for an unknown one.
std::vector<std::string_view> needs_of(const std::vector<std::string>& acquisitions);

/// What rows are compared with: labelled rows (a mark for each own row, or empty), and the stream
/// of a target pool (or null); and how the boxes of a row are.
struct Comparisons {
    std::span<const std::uint8_t> labelled;
    PredictionStream* target = nullptr;
    BoxAggregation aggregation{};
};

/// Scores all rows of a stream by pointwise acquisitions. Throws UsageError where one does not fit
/// what the stream has. `keep`, if not empty, is called with each block as well. Collective.
ShardScores score_stream(Job& job, PredictionStream& stream,
                         const std::vector<std::string>& acquisitions, std::uint32_t round,
                         const Comparisons& comparisons,
                         const std::function<void(const PredictionView&, RowRange)>& keep = {});

/// Places in the shard of the rows of `shard.quarantine`, ascending. Local.
std::vector<std::size_t> quarantined_offsets(const ShardScores& shard);

/// All ranks' rows of both lists at the root, one reason each, those of `first` before those of
/// `second`; empty elsewhere. Collective.
std::vector<QuarantinedRow> gather_reasons(Collective& collective,
                                           const std::vector<QuarantinedRow>& first,
                                           const std::vector<QuarantinedRow>& second);

}  // namespace thresher::jobs
