// A batch picked by a trained policy.

#include <algorithm>
#include <cmath>

#include "jobs/steps/choice/choice_parts.hpp"
#include "src/acquisition/outputs.hpp"
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

/// Leaves out rows whose predictions are no numbers, as joint acquisitions do.
void set_apart(RowPredictions& rows, const PredictionsShape& shape,
               std::vector<QuarantinedRow>& quarantined) {
    const auto outputs = static_cast<std::size_t>(shape.samples * shape.classes);
    const auto size = static_cast<std::size_t>(shape.embedding_size);
    RowPredictions kept;
    for (std::size_t row = 0; row < rows.ids.size(); ++row) {
        const auto log_probs =
            std::span<const float>(rows.log_probs).subspan(row * outputs, outputs);
        const auto embedding = std::span<const float>(rows.embeddings).subspan(row * size, size);
        const bool finite = std::all_of(embedding.begin(), embedding.end(),
                                        [](float value) { return std::isfinite(value); });
        if (!finite || !are_distributions(log_probs, shape.classes)) {
            quarantined.push_back({rows.ids[row], finite ? kNoDistribution : kEmbeddingNotFinite});
            continue;
        }
        kept.ids.push_back(rows.ids[row]);
        kept.log_probs.insert(kept.log_probs.end(), log_probs.begin(), log_probs.end());
        kept.embeddings.insert(kept.embeddings.end(), embedding.begin(), embedding.end());
    }
    if (kept.ids.size() < rows.ids.size()) rows = std::move(kept);
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
        Collective& collective = job.collective();
        const std::vector<std::int64_t> rows =
            gather_rows(collective, candidate_rows(job, shard, options, excluded));
        RowPredictions candidates = gather_predictions_at_root(collective, stream, rows);
        RowPredictions labelled = gather_predictions_at_root(
            collective, stream, marked_rows(collective, stream, comparisons.labelled));
        Selection selection;
        set_apart(candidates, stream.shape(), selection.quarantined);
        set_apart(labelled, stream.shape(), selection.quarantined);
        selection.selectable = std::ssize(candidates.ids);
        collective.broadcast(std::span(&selection.selectable, 1));
        agree(collective, [&] {
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
