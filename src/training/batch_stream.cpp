#include "src/training/batch_stream.hpp"

#include <algorithm>

#include "src/base/agreement.hpp"
#include "src/base/check.hpp"
#include "src/training/augment.hpp"

namespace thresher {

BatchStream::BatchStream(ExampleSource& source, const TrainOptions& options, const Scorers& scorers,
                         Collective& collective)
    : source_(source),
      options_(options),
      collective_(collective),
      method_(find_method(options.method)),
      batch_size_(std::min(options.batch_size, source.size())),
      super_batch_(std::min(super_batch_size(options, batch_size_), source.size())),
      order_(source.size(), std::max<std::int64_t>(1, source.info().block_rows),
             options.window_blocks, options.seed),
      plan_(shard_plan(options, batch_size_, collective.size())),
      candidate_plan_(shard_plan(options, super_batch_, collective.size())) {
    // With every candidate kept there is nothing to score for.
    if (method_.acquisition.empty() || super_batch_ == batch_size_) return;
    const auto losses = std::ssize(scorers.reference_losses);
    THRESHER_CHECK_AS(UsageError, losses == 0 || losses == source.size(),
                      "there are {} losses of the reference for {} rows", losses, source.size());
    THRESHER_CHECK_AS(UsageError, losses == 0 || options.augment == AugmentKind::none,
                      "losses that are looked up are of rows as they are, but the augmentation "
                      "changes them; give a reference, or leave the augmentation out");
    scorer_ = std::make_unique<CandidateScorer>(method_, scorers, source.info());
}

std::int64_t BatchStream::steps_per_epoch() const {
    return (source_.size() + super_batch_ - 1) / super_batch_;
}

Batch BatchStream::next(std::int64_t step, std::int64_t steps, Phases& phases) {
    {
        const auto timer = phases.time("read");
        agree(collective_, [&] { read(step, steps); });
    }
    const std::int64_t candidates = candidate_rows(step);
    Batch batch{&candidates_, candidates, &candidates_, candidates};
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
    batch.candidate_score = sub_batch.candidate_score;
    batch.chosen_score = sub_batch.chosen_score;
    batch.without_score = sub_batch.without_score;
    return batch;
}

std::int64_t BatchStream::candidate_rows(std::int64_t step) const {
    return std::min(super_batch_, source_.size() - step % steps_per_epoch() * super_batch_);
}

/// Where in the source this rank's candidates of update `step` are.
std::vector<std::int64_t> BatchStream::own_positions(std::int64_t step) const {
    const RowRange own = candidate_plan_.rank_rows(candidate_rows(step), collective_.rank());
    const std::int64_t epoch = step / steps_per_epoch();
    const std::int64_t begin = step % steps_per_epoch() * super_batch_;
    std::vector<std::int64_t> positions;
    for (std::int64_t i = own.begin; i < own.end; ++i) {
        positions.push_back(order_.row_at(epoch, begin + i));
    }
    return positions;
}

void BatchStream::read(std::int64_t step, std::int64_t steps) {
    source_.fetch(own_positions(step), candidates_);
    if (step + 1 < steps) source_.prefetch(own_positions(step + 1));
    if (options_.augment == AugmentKind::crop_flip) {
        crop_and_flip(candidates_.inputs, source_.info(), candidates_.ids, options_.seed,
                      step / steps_per_epoch());
    }
}

std::vector<float> BatchStream::score(std::int64_t step) {
    const int rank = collective_.rank();
    const std::int64_t rows = candidate_rows(step);
    const RowRange own = candidate_plan_.rank_rows(rows, rank);
    std::vector<RowRange> pieces;
    for (std::int64_t shard = candidate_plan_.first_shard(rank);
         shard < candidate_plan_.first_shard(rank + 1); ++shard) {
        const RowRange piece = candidate_plan_.shard_rows(rows, shard);
        pieces.push_back({piece.begin - own.begin, piece.end - own.begin});
    }
    std::vector<float> scores(static_cast<std::size_t>(own.size()));
    scorer_->score(candidates_, own_positions(step), pieces, scores);
    return scores;
}

SubBatch BatchStream::choose(std::int64_t step, std::span<const float> scores) {
    const std::int64_t rows = candidate_rows(step);
    // An epoch's last candidates may be fewer; the share that is kept is the same.
    const std::int64_t kept =
        std::max<std::int64_t>(1, (rows * batch_size_ + super_batch_ / 2) / super_batch_);
    Selector selector;
    selector.name = method_.selector;
    selector.beta = 1.0 / options_.temperature;
    selector.seed = options_.seed;
    selector.round = static_cast<std::uint32_t>(step);
    SubBatch sub_batch = choose_sub_batch(collective_, scores, kept, selector);
    move_chosen(collective_, candidates_, candidate_plan_.rank_rows(rows, collective_.rank()),
                sub_batch.places, plan_, chosen_);
    return sub_batch;
}

}  // namespace thresher
