#include "src/training/batch_stream.hpp"

#include "src/base/agreement.hpp"

namespace thresher {

BatchStream::BatchStream(Model& learner, const Companions& companions, ExampleSource& source,
                         const TrainOptions& options, Collective& collective)
    : source_(source),
      collective_(collective),
      super_batches_(source, options),
      plan_(shard_plan(options, batch_size(), collective.size())),
      candidate_plan_(shard_plan(options, super_batch(), collective.size())) {
    if (!super_batches_.scored()) return;
    scorer_ = std::make_unique<CandidateScorer>(find_method(options.method),
                                                scorers_of(learner, companions, source, options),
                                                source.info(), options.scoring);
}

Batch BatchStream::next(std::int64_t step, std::int64_t steps, Phases& phases) {
    {
        const auto timer = phases.time("read");
        agree(collective_, [&] { read(step, steps); });
    }
    const std::int64_t candidates = super_batches_.rows(step);
    Batch batch{&candidates_, candidates, {}, &candidates_, candidates};
    if (!scorer_) return batch;
    std::vector<float> scores;
    {
        const auto timer = phases.time("score");
        agree(collective_, [&] { scores = score(step); });
    }
    const auto timer = phases.time("choose");
    const SubBatch sub_batch = choose(step, scores);
    batch.own = &chosen_;
    batch.rows = std::ssize(sub_batch.places);
    batch.weights = sub_batch.weights_of(plan_.rank_rows(batch.rows, collective_.rank()));
    batch.candidate_score = sub_batch.candidate_score;
    batch.chosen_score = sub_batch.chosen_score;
    batch.without_score = sub_batch.without_score;
    return batch;
}

/// Where in the source this rank's candidates of update `step` are.
std::vector<std::int64_t> BatchStream::own_positions(std::int64_t step) const {
    return super_batches_.positions(
        step, candidate_plan_.rank_rows(super_batches_.rows(step), collective_.rank()));
}

void BatchStream::read(std::int64_t step, std::int64_t steps) {
    super_batches_.fetch(step, own_positions(step), candidates_);
    if (step + 1 < steps) source_.prefetch(own_positions(step + 1));
}

std::vector<float> BatchStream::score(std::int64_t step) {
    const int rank = collective_.rank();
    const std::int64_t rows = super_batches_.rows(step);
    const RowRange own = candidate_plan_.rank_rows(rows, rank);
    std::vector<RowRange> pieces;
    for (std::int64_t shard = candidate_plan_.first_shard(rank);
         shard < candidate_plan_.first_shard(rank + 1); ++shard) {
        const RowRange piece = candidate_plan_.shard_rows(rows, shard);
        pieces.push_back({piece.begin - own.begin, piece.end - own.begin});
    }
    std::vector<float> scores(static_cast<std::size_t>(own.size() * scorer_->layout().values()));
    scorer_->score(candidates_, own_positions(step), pieces, scores);
    return scores;
}

SubBatch BatchStream::choose(std::int64_t step, std::span<const float> scores) {
    const std::int64_t rows = super_batches_.rows(step);
    SubBatch sub_batch = super_batches_.choose(collective_, step, scores, scorer_->layout());
    move_chosen(collective_, candidates_, candidate_plan_.rank_rows(rows, collective_.rank()),
                sub_batch.places, plan_, chosen_);
    return sub_batch;
}

}  // namespace thresher
