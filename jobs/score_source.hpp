#pragma once

// Scores for the verbs score and select, from wherever the user is: a scores file, predictions of
// any framework, or a pool and models. Each takes the step before it on the fly and keeps nothing
// but scores.

#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "jobs/pool_options.hpp"
#include "src/models/model.hpp"

namespace thresher::jobs {

struct ScoreSourceOptions {
    std::string scores, predictions;
    PoolOptions pool;
    std::string learner, reference;
    std::vector<std::string> acquisitions;
    std::int64_t round = 0;
    std::int64_t micro_batch = 0;
};

/// Adds --predictions, --pool, --learner, --reference, --acquisition, --round and, where asked for,
/// --scores.
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
    std::string input;                          ///< what they were made from, for provenance
    std::map<std::string, double> flops;        ///< by role, this rank's
};

/// Scores all rows of a pool with the models given (null where there is none), block by block.
/// Collective.
ShardScores score_pool(Job& job, const io::PoolFile& pool, Model* learner, Model* reference,
                       const std::vector<std::string>& acquisitions, std::int64_t round,
                       std::int64_t micro_batch = 0);

/// Throws UsageError on a combination of options that does not fit, FileError on files. Collective.
ShardScores load_or_compute_scores(Job& job, const ScoreSourceOptions& options);

/// The strategies that give what the acquisitions need; none for random alone.
std::vector<std::string> strategies_for(const std::vector<std::string>& acquisitions);

/// All ranks' rows of both lists at the root, one reason each, those of `first` before those of
/// `second`; empty elsewhere. Collective.
std::vector<QuarantinedRow> gather_reasons(Collective& collective,
                                           const std::vector<QuarantinedRow>& first,
                                           const std::vector<QuarantinedRow>& second);

}  // namespace thresher::jobs
