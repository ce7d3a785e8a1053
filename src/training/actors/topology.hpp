#pragma once

// Which ranks train and which score. The first ranks are the learners, the others actors; the first
// learner leads: it hands out the work and keeps the memory bank.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "src/training/shard_plan.hpp"
#include "src/training/super_batches.hpp"
#include "src/training/train_options.hpp"

namespace thresher {

struct Topology {
    int actors = 0;    ///< 0: every rank scores its share of the candidates and trains
    int learners = 0;  ///< ranks that train, where there are actors

    /// An update u (counted from 0) uses only scores whose parameters had seen at least
    /// u - max_staleness updates. With 0, training is what it is without actors, bit for bit.
    std::int64_t max_staleness = 4;
    std::int64_t publish_every = 1;  ///< updates after which the parameters are handed to actors
    bool ship_inputs = false;        ///< actors send the inputs too, so that learners read none
    double patience_s = 10.0;        ///< an actor that has not answered for so long is passed over

    bool is_learner(int rank) const { return rank < learners; }

    /// Super-batches that are open at once beside the one that is trained on: the next, and another
    /// one so that no actor waits for the slowest. More would only make scores older.
    std::int64_t open_super_batches() const { return max_staleness == 0 ? 1 : 2; }
    /// Portions of this super-batch plan that an actor may have before it: enough for an update
    /// while the learner is at the one before.
    std::int64_t portions_an_actor(const ShardPlan& portions) const {
        return 2 * ((portions.shards + actors - 1) / actors);
    }
    /// Messages that may be on their way to one rank: parameters go with a portion, if at all.
    std::int64_t most_unsent(const ShardPlan& portions) const {
        return 2 * portions_an_actor(portions) + 4;
    }
};

/// How a super-batch is cut into the portions that actors score.
ShardPlan portion_plan(const Topology& topology, const TrainOptions& options,
                       const SuperBatches& super_batches);

/// Throws UsageError where the numbers do not fit each other, the `ranks` there are, or a method
/// that scores nothing.
void check_topology(const Topology& topology, const TrainOptions& options, int ranks);

/// Option name -> value, for the table printed at the start.
std::vector<std::pair<std::string, std::string>> describe(const Topology& topology);

}  // namespace thresher
