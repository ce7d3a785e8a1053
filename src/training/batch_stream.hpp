#pragma once

// The rows of every update: the next ones of the epoch or, under a method that scores, those of
// them that the method keeps. The ranks work on each batch together.

#include <memory>
#include <vector>

#include "src/base/collective.hpp"
#include "src/training/batch_source.hpp"
#include "src/training/companions.hpp"
#include "src/training/prioritised/candidate_scorer.hpp"
#include "src/training/prioritised/sub_batch.hpp"
#include "src/training/super_batches.hpp"

namespace thresher {

class BatchStream final : public BatchSource {
  public:
    /// The models are asked for scores only by a method that scores and where more candidates are
    /// drawn than kept. Throws UsageError where the method lacks one. Everything must outlive the
    /// stream.
    BatchStream(Model& learner, const Companions& companions, ExampleSource& source,
                const TrainOptions& options, Collective& collective);

    std::int64_t batch_size() const override { return super_batches_.batch_size(); }
    std::int64_t super_batch() const override { return super_batches_.super_batch(); }
    std::int64_t steps_per_epoch() const override { return super_batches_.steps_per_epoch(); }
    bool scores() const override { return scorer_ != nullptr; }

    /// Adds to the phases read, score and choose.
    Batch next(std::int64_t step, std::int64_t steps, Phases& phases) override;
    void updated(std::int64_t, std::int64_t, Phases&) override {}

    double online_flops() const override { return scorer_ ? scorer_->online_flops() : 0.0; }
    double reference_flops() const override { return scorer_ ? scorer_->reference_flops() : 0.0; }

  private:
    std::vector<std::int64_t> own_positions(std::int64_t step) const;
    void read(std::int64_t step, std::int64_t steps);
    std::vector<float> score(std::int64_t step);
    SubBatch choose(std::int64_t step, std::span<const float> scores);

    ExampleSource& source_;
    Collective& collective_;
    SuperBatches super_batches_;
    ShardPlan plan_, candidate_plan_;
    std::unique_ptr<CandidateScorer> scorer_;
    Examples candidates_, chosen_;  ///< of this rank
};

}  // namespace thresher
