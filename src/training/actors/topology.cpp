#include "src/training/actors/topology.hpp"

#include "src/base/check.hpp"
#include "src/training/prioritised/method.hpp"

namespace thresher {

ShardPlan portion_plan(const Topology& topology, const TrainOptions& options,
                       const SuperBatches& super_batches) {
    return shard_plan(options, super_batches.super_batch(), topology.actors);
}

void check_topology(const Topology& topology, const TrainOptions& options, int ranks) {
    THRESHER_CHECK_AS(UsageError, topology.actors >= 0 && topology.learners >= 0,
                      "--actors {} --learners {}; allowed: 0 and more", topology.actors,
                      topology.learners);
    if (topology.actors == 0) {
        THRESHER_CHECK_AS(UsageError, topology.learners == 0,
                          "--learners {} needs actors that score for them; give --actors, or leave "
                          "both out, and every rank scores and trains",
                          topology.learners);
        return;
    }
    THRESHER_CHECK_AS(UsageError, topology.learners > 0,
                      "--actors {} needs a learner to score for; give --learners 1 or more",
                      topology.actors);
    THRESHER_CHECK_AS(UsageError, !find_method(options.method).acquisition.empty(),
                      "--actors {} with method {}, which scores nothing; give another --method, or "
                      "leave the actors out",
                      topology.actors, options.method);
    THRESHER_CHECK_AS(UsageError, topology.actors + topology.learners == ranks,
                      "--actors {} and --learners {} make {} ranks, but the job has {}; start it "
                      "with mpirun -n {}",
                      topology.actors, topology.learners, topology.actors + topology.learners,
                      ranks, topology.actors + topology.learners);
    constexpr std::int64_t kMost = 1000;
    THRESHER_CHECK_AS(UsageError, topology.max_staleness >= 0 && topology.max_staleness <= kMost,
                      "--max-staleness is {}; allowed: 0 to {} updates", topology.max_staleness,
                      kMost);
    THRESHER_CHECK_AS(
        UsageError,
        topology.publish_every >= 1 && topology.publish_every <= topology.max_staleness + 1,
        "--publish-every is {}; allowed: 1 to {}, or scores would be more than "
        "--max-staleness {} updates behind",
        topology.publish_every, topology.max_staleness + 1, topology.max_staleness);
    THRESHER_CHECK_AS(UsageError, topology.patience_s > 0.0,
                      "--actor-patience is {}; allowed: more than 0 seconds", topology.patience_s);
}

std::vector<std::pair<std::string, std::string>> describe(const Topology& topology) {
    if (topology.actors == 0) return {};
    return {{"actors", std::to_string(topology.actors)},
            {"learners", std::to_string(topology.learners)},
            {"max-staleness", std::to_string(topology.max_staleness)},
            {"publish-every", std::to_string(topology.publish_every)},
            {"ship-inputs", topology.ship_inputs ? "true" : "false"},
            {"actor-patience", fmt::format("{} s", topology.patience_s)}};
}

}  // namespace thresher
