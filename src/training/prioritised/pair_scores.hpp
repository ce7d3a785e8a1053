#pragma once

// What each pair of an image and a text in a super-batch is worth to a joint choice (JEST, Evans et
// al. 2024, arXiv 2406.17711): the sigmoid loss (SigLIP) under the learner less that under the
// reference, S_ij = l_ij(learner) - l_ij(reference), where
//
//     l_ii = log(1 + exp(-(a z_i.t_i + b))),    l_ij = log(1 + exp(a z_i.t_j + b)) for i != j.
//
// The B x B of them are never held. What a choice needs are sums over rows and columns of
// candidates that are chosen already, and those are added as they are chosen: memory O(B d / P) for
// what the ranks bring, and as much again for the rows of a chunk.

#include <cstdint>
#include <span>
#include <vector>

#include "src/base/collective.hpp"

namespace thresher {

/// One model's embeddings of the candidates that this rank holds, consecutive places of the
/// super-batch, ranks following each other.
struct PairEmbeddings {
    /// [own candidates, size]; L2-normalised, unless scale and bias are folded in
    /// (pair_values.hpp).
    std::span<const float> image, text;
    std::int64_t size = 0;           ///< d; 0: there is no such model, its loss counts as 0
    double scale = 1.0, bias = 0.0;  ///< a and b of its sigmoid loss
};

class PairScores {
  public:
    /// What the spans show must outlive it. Throws Error on every rank where the arrays of
    /// one do not fit each other. Collective.
    PairScores(Collective& collective, const PairEmbeddings& learner,
               const PairEmbeddings& reference);

    /// S_ii of this rank's candidates; not finite where an embedding is not. Local.
    std::vector<double> diagonal() const;

    /// Adds sum_k (S_ki + S_ik) over the candidates k at `places` (ascending, the same on every
    /// rank) to the sum of each candidate i of this rank, [own candidates]. What it adds for a
    /// candidate does not depend on who holds which; what it adds for one of `places` means
    /// nothing. Collective.
    void add(std::span<const std::int64_t> places, std::span<double> sums) const;

  private:
    Collective& collective_;
    PairEmbeddings models_[2];  ///< learner and reference
    std::int64_t own_ = 0, first_ = 0;
};

}  // namespace thresher
