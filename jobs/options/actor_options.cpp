#include "jobs/options/actor_options.hpp"

#include "src/base/check.hpp"

namespace thresher::jobs {

Topology ActorOptions::chosen(const TrainOptions& train, int ranks) const {
    Topology result = topology;
    if (result.actors > 0 && result.learners == 0) result.learners = 1;
    check_topology(result, train, ranks);
    THRESHER_CHECK_AS(UsageError,
                      result.actors > 0 || (actor_device.empty() && learner_device.empty()),
                      "--actor-device and --learner-device are for training with --actors; without "
                      "them give --device");
    return result;
}

void add_actor_options(CLI::App& app, ActorOptions& options) {
    const std::string group = "Actors and learners";
    Topology& topology = options.topology;
    const auto add = [&](const char* name, auto& value, const char* text) {
        return app.add_option(name, value, text)->group(group);
    };
    add("--actors", topology.actors,
        "Ranks that score candidates and do not train; 0 = all ranks do both");
    add("--learners", topology.learners,
        "Ranks that train, the first of the job; 0 = one, where there are actors");
    add("--max-staleness", topology.max_staleness,
        "Updates by which the parameters behind a score may be older than those of its use");
    add("--publish-every", topology.publish_every,
        "Updates after which the actors get new parameters");
    app.add_flag("--ship-inputs", topology.ship_inputs,
                 "Let actors send the candidates' inputs, so that learners do not read the pool")
        ->group(group);
    add("--actor-patience", topology.patience_s,
        "Seconds that learners wait until the work of an actor that does not answer goes to "
        "others");
    add("--actor-device", options.actor_device, "Device of the actors; empty: --device");
    add("--learner-device", options.learner_device, "Device of the learners; empty: --device");
}

}  // namespace thresher::jobs
