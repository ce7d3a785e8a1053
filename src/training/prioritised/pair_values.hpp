#pragma once

// What a joint choice is told of each candidate: its embeddings under both models, in one row of
// numbers, so that they travel as scores do. Scale a and bias b of a model's sigmoid loss are
// folded in: the image is (a z, b) and the caption (t, 1), whose product is a z.t + b.

#include <cstdint>
#include <span>

#include "src/base/collective.hpp"
#include "src/training/prioritised/joint_sub_batch.hpp"

namespace thresher {

/// The numbers of a candidate: image and caption under the online model, then under the reference.
struct PairLayout {
    std::int64_t online = 0, reference = 0;  ///< d + 1 of each; 0 and 0: a score, and nothing else

    bool joint() const { return online > 0; }
    std::int64_t values() const { return joint() ? 2 * (online + reference) : 1; }
};

/// choose_joint_sub_batch() of the candidates whose `values` [own candidates, layout.values()] this
/// rank holds. Collective.
SubBatch choose_pairs(Collective& collective, std::span<const float> values,
                      const PairLayout& layout, const JointDraw& draw);

}  // namespace thresher
