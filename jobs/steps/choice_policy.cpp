// A batch picked by a trained policy.

#include "jobs/steps/choice_parts.hpp"
#include "src/base/agreement.hpp"
#include "src/policy/candidate_features.hpp"
#include "src/policy/heads/heads.hpp"

namespace thresher::jobs {

namespace {

/// Own rows that a policy may pick: not excluded, not quarantined, and among the candidates.
std::vector<std::int64_t> candidate_rows(Job& job, const ShardScores& shard,
                                         const ChoiceOptions& options,
                                         std::span<const std::uint8_t> excluded) {
    std::vector<std::uint8_t> others(excluded.begin(), excluded.end());
    others.resize(static_cast<std::size_t>(shard.rows.size()), 0);
    for (const std::size_t offset : quarantined_offsets(shard)) others[offset] = 1;
    if (options.candidates > 0) {
        others = exclude_all_but(job, shard, options.candidates_by, options.candidates, others);
    }
    std::vector<std::int64_t> rows;
    for (std::int64_t row = shard.rows.begin; row < shard.rows.end; ++row) {
        if (others[static_cast<std::size_t>(row - shard.rows.begin)] == 0) rows.push_back(row);
    }
    return rows;
}

}  // namespace

// The predictions of the candidates alone come together; the root picks.
Choice choose_by_policy(Job& job, PredictionStream& stream, const ChoiceOptions& options,
                        std::int64_t k, std::uint32_t round, std::span<const std::uint8_t> excluded,
                        const Comparisons& comparisons, const io::TrainedPolicy* agent) {
    io::TrainedPolicy of_file;
    if (agent == nullptr) {
        agree(job.collective(), [&] { of_file = io::read_policy(options.policy); });
    }
    const io::TrainedPolicy& trained = agent != nullptr ? *agent : of_file;
    std::vector<std::string> pointwise;
    if (options.candidates > 0) pointwise.push_back(options.candidates_by);
    const ShardScores shard = score_stream(job, stream, pointwise, round, comparisons);
    return timed_choice(job, shard, [&] {
        const std::vector<std::int64_t> own = candidate_rows(job, shard, options, excluded);
        const RowPredictions candidates = gather_predictions_at_root(job.collective(), stream, own);
        const RowPredictions labelled = gather_predictions_at_root(
            job.collective(), stream, marked_rows(stream, comparisons.labelled));
        Selection selection;
        selection.selectable = std::ssize(own);
        job.collective().all_reduce_sum(std::span(&selection.selectable, 1));
        agree(job.collective(), [&] {
            if (!job.is_root()) return;
            const CandidateSet set =
                make_candidates({.rows = selection.selectable,
                                 .embeddings = candidates.embeddings,
                                 .embedding_size = stream.shape().embedding_size,
                                 .log_probs = candidates.log_probs,
                                 .samples = stream.shape().samples,
                                 .classes = stream.shape().classes,
                                 .labelled_embeddings = labelled.embeddings},
                                trained.feature_kinds);
            const Rollouts drawn = draw_batches(trained.policy, set,
                                                {.picks = k,
                                                 .seed = job.common().seed,
                                                 .update = round,
                                                 .likeliest = !options.sample});
            for (const std::int32_t pick : drawn.picks[0]) {
                selection.ids.push_back(candidates.ids[static_cast<std::size_t>(pick)]);
            }
            selection.scores = drawn.pick_log_probabilities[0];
        });
        return selection;
    });
}

}  // namespace thresher::jobs
