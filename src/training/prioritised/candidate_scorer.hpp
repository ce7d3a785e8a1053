#pragma once

// The scores of candidates: losses under the models as they are at this moment, made into scores by
// the method's acquisition.

#include <span>
#include <vector>

#include "src/models/input_reader.hpp"
#include "src/models/model.hpp"
#include "src/pool/example_source.hpp"
#include "src/training/prioritised/method.hpp"
#include "src/training/prioritised/pair_values.hpp"
#include "src/training/train_options.hpp"

namespace thresher {

/// Who scores; what the method does not read may be left out.
struct Scorers {
    Model* online = nullptr;
    Model* reference = nullptr;
    std::span<const float> reference_losses;  ///< by position in the source; instead of a reference
};

/// What the scorers of a method say of each candidate. Throws UsageError where it chooses jointly
/// and they are no two models that read captions.
PairLayout layout_of(const Method& method, const Scorers& scorers);

class CandidateScorer {
  public:
    /// `method` must score; everything must outlive the scorer. Throws UsageError where a model
    /// that the method reads is missing or cannot be run in this form, Error where one does not fit
    /// the pool.
    CandidateScorer(const Method& method, const Scorers& scorers, const PoolInfo& pool,
                    const ScoringForm& form = {});

    /// How many numbers score() gives of a candidate, and which.
    const PairLayout& layout() const { return layout_; }

    /// Fills `scores` [n, layout().values()] for candidates at these positions [n] of the source.
    /// The models run in eval mode and are back in their own afterwards. Rows are worked on piece
    /// by piece, so that the bits depend on the pieces alone. A row whose target is unknown, or
    /// whose caption is empty, gets NaN; a score that is not finite is not limited. Local.
    void score(const Examples& candidates, std::span<const std::int64_t> positions,
               std::span<const RowRange> pieces, std::span<float> scores);

    double online_flops() const { return online_flops_; }  ///< of this rank, so far
    double reference_flops() const { return reference_flops_; }

  private:
    /// Losses [n] of the candidates: cross-entropy or, of a model that reads captions,
    /// -(image . caption). Returns the operations it took.
    double losses(Model& model, const InputReader& reader, const Examples& candidates,
                  std::span<const RowRange> pieces, std::span<float> out) const;
    /// The embeddings of the candidates, from number `first` of each one's row on. Returns the
    /// same.
    double embeddings(Model& model, const InputReader& reader, const Examples& candidates,
                      std::span<const RowRange> pieces, std::int64_t first,
                      std::span<float> out) const;

    const Method& method_;
    PairLayout layout_;
    ScoringForm form_;
    Scorers scorers_;
    std::vector<InputReader> readers_;  ///< of online, of reference
    std::vector<float> online_losses_, reference_losses_;
    double online_flops_ = 0.0, reference_flops_ = 0.0;
};

}  // namespace thresher
