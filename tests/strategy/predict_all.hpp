#pragma once

#include "src/pool/memory_source.hpp"
#include "src/strategy/predictor.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/same_bits.hpp"

namespace thresher::test {

/// Predictions of all rows of the pool, rank after rank, as one.
inline Predictions predict_all(const ModelRoles& models, const MemoryPool& pool,
                               const PredictorOptions& options, int ranks = 1) {
    Predictions whole;
    const auto append = [](auto& to, const auto& from) {
        to.insert(to.end(), from.begin(), from.end());
    };
    for (int rank = 0; rank < ranks; ++rank) {
        Predictor predictor(models, pool.info, options);
        auto source = stream_blocks(pool, rank, ranks);
        Block block;
        Predictions part;
        while (source->next(block)) {
            predictor.predict(block, part);
            CHECK(part.samples == predictor.shape().samples);
            CHECK(part.classes == predictor.shape().classes);
            CHECK(part.embedding_size == predictor.shape().embedding_size);
            append(whole.log_probs, part.log_probs);
            append(whole.embeddings, part.embeddings);
            append(whole.box_log_probs, part.box_log_probs);
            append(whole.box_scores, part.box_scores);
            append(whole.box_flips, part.box_flips);
            append(whole.box_discrepancies, part.box_discrepancies);
            append(whole.quarantined, part.quarantined);
            for (const auto& [role, losses] : part.losses) append(whole.losses[role], losses);
        }
        whole.samples = predictor.shape().samples;
        whole.classes = predictor.shape().classes;
        whole.box_shape = predictor.shape().boxes;
        whole.embedding_size = predictor.shape().embedding_size;
    }
    return whole;
}

}  // namespace thresher::test
