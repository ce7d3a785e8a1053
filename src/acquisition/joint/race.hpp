#pragma once

// Draws in proportion to weights by a race: the row with the largest weight / e, e exponential and
// keyed by the row's id, is row i with probability w_i / sum of w. So a draw over all ranks is one
// argmax, and no rank needs the sum.

#include <cmath>

#include "src/acquisition/joint/shard.hpp"
#include "src/random/philox.hpp"

namespace thresher {

/// Lets a row of this weight >= 0 take part. A row of weight 0 wins only where no row has more,
/// and then the lowest id does. Local.
inline void race(Proposal& best, double weight, const KeyedRandom& random, std::uint16_t draw,
                 std::int64_t id, std::size_t offset) {
    if (!(weight > 0.0)) {
        best.consider(0.0, id, offset);
        return;
    }
    const double uniform = random.uniform(id, draw);
    // e = -log u >= 1 - u: most rows are beaten without a logarithm. The slack is above the error
    // of both sides.
    if (best.id >= 0 && weight < best.score * (1.0 - uniform) * (1.0 - 1e-12)) return;
    best.consider(weight / -std::log(uniform), id, offset);
}

}  // namespace thresher
