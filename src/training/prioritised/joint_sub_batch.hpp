#pragma once

// The sub-batch of JEST (Evans et al. 2024, arXiv 2406.17711): candidates are chosen together, as
// their pairwise scores S add up. They are drawn in chunks; each chunk is a sample without
// replacement from softmax(beta logit) of the candidates that are left, where
//
//     logit_i = S_ii + sum over the chosen k of (S_ki + S_ik).
//
// Gumbel noise keyed by seed, update, chunk and place makes the draws, so every rank makes the same
// choice, and for any number of ranks.

#include <cstdint>
#include <functional>
#include <span>

#include "src/base/collective.hpp"
#include "src/training/prioritised/pair_scores.hpp"
#include "src/training/prioritised/sub_batch.hpp"

namespace thresher {

struct JointDraw {
    std::int64_t size = 0;     ///< candidates to keep; chunks differ by one at most
    std::int64_t chunks = 16;  ///< no more than `size` have something to draw
    double beta = 1.0;         ///< 1 / temperature
    std::uint64_t seed = 0;
    std::int64_t update = 0;
};

/// Chooses by the pairwise scores of the two models, which `draw.size` of the candidates of all
/// ranks are kept. The scores in the result are means of S_ii. Candidates whose S_ii is not finite
/// are never chosen; where fewer than `size` are left all of them are, where none is the first
/// `size`, as choose_sub_batch does. Takes memory for the candidates' embeddings, which the caller
/// holds, for the chosen rows of a chunk and for 4 bytes and a bit a candidate. Two collectives a
/// chunk. Collective.
SubBatch choose_joint_sub_batch(Collective& collective, const PairEmbeddings& learner,
                                const PairEmbeddings& reference, const JointDraw& draw);

/// The same for any pairwise scores: `own_diagonal` are S_ii of this rank's candidates, and
/// add_sums(places, sums) adds sum_k (S_ki + S_ik) over the candidates at `places`, ascending, to
/// the sums [own candidates]; it may be collective. Collective.
using AddPairSums = std::function<void(std::span<const std::int64_t>, std::span<double>)>;
SubBatch draw_joint_sub_batch(Collective& collective, std::span<const double> own_diagonal,
                              const JointDraw& draw, const AddPairSums& add_sums);

}  // namespace thresher
