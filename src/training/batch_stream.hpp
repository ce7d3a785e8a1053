#pragma once

// The rows of every update: the next ones of the epoch or, under a method that scores, those of
// them that the method keeps. The ranks work on each batch together.

#include <memory>
#include <vector>

#include "src/base/collective.hpp"
#include "src/base/phases.hpp"
#include "src/pool/example_source.hpp"
#include "src/training/epoch_order.hpp"
#include "src/training/prioritised/candidate_scorer.hpp"
#include "src/training/prioritised/sub_batch.hpp"
#include "src/training/train_options.hpp"

namespace thresher {

/// What an update works on; valid until the next one.
struct Batch {
    const Examples* own = nullptr;  ///< this rank's rows
    std::int64_t rows = 0;          ///< over all ranks
    /// The rows it was chosen from; the same as above where all were kept.
    const Examples* own_candidates = nullptr;
    std::int64_t candidates = 0;
    double candidate_score = 0.0, chosen_score = 0.0;  ///< means; where rows are scored
    std::int64_t without_score = 0;  ///< candidates that have none and so were not chosen
};

class BatchStream {
  public:
    /// `scorers` are asked only by a method that scores and where more candidates are drawn than
    /// kept. Throws UsageError where the method lacks one. Everything must outlive the stream.
    BatchStream(ExampleSource& source, const TrainOptions& options, const Scorers& scorers,
                Collective& collective);

    std::int64_t batch_size() const { return batch_size_; }    ///< rows of a full batch
    std::int64_t super_batch() const { return super_batch_; }  ///< candidates for one
    std::int64_t steps_per_epoch() const;
    bool scores() const { return scorer_ != nullptr; }

    /// The batch of update `step`, counted from 0. Adds to the phases read, score and choose.
    /// Collective.
    Batch next(std::int64_t step, std::int64_t steps, Phases& phases);

    double online_flops() const { return scorer_ ? scorer_->online_flops() : 0.0; }
    double reference_flops() const { return scorer_ ? scorer_->reference_flops() : 0.0; }

  private:
    std::int64_t candidate_rows(std::int64_t step) const;
    std::vector<std::int64_t> own_positions(std::int64_t step) const;
    void read(std::int64_t step, std::int64_t steps);
    std::vector<float> score(std::int64_t step);
    SubBatch choose(std::int64_t step, std::span<const float> scores);

    ExampleSource& source_;
    TrainOptions options_;
    Collective& collective_;
    const Method& method_;
    std::int64_t batch_size_, super_batch_;
    EpochOrder order_;
    ShardPlan plan_, candidate_plan_;
    std::unique_ptr<CandidateScorer> scorer_;
    Examples candidates_, chosen_;  ///< of this rank
};

}  // namespace thresher
