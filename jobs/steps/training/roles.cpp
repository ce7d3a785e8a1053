#include "jobs/steps/training/roles.hpp"

#include <algorithm>
#include <array>

#include "src/base/agreement.hpp"
#include "src/base/check.hpp"
#include "src/base/log.hpp"
#include "src/base/text.hpp"

namespace thresher::jobs {

void run_in_roles(Job& job, const Topology& topology, Messages& messages,
                  const std::function<void()>& learn, const std::function<void()>& act) {
    Collective& all = job.collective();
    std::string stopped;
    agree(all, [&] {
        if (!topology.is_learner(all.rank())) {
            act();
            return;
        }
        try {
            learn();
        } catch (const Requeue& requeue) {  // no failure: the actors have been told of an end
            stopped = requeue.what();
        }
    });
    messages.close();
    stopped = broadcast_text(all, stopped);
    if (!stopped.empty()) throw Requeue(stopped);
}

std::map<std::string, double> seconds_of_learners(Collective& learners, const Phases& phases) {
    std::array<double, 3> seconds{};
    for (const auto& [name, spent] : phases.seconds()) {
        // Alone, a learner adds up its own shards.
        const bool talks = name == "publish" || (name == "reduce" && learners.size() > 1);
        const std::size_t kind = name == "wait" ? 1 : talks ? 2 : 0;
        seconds[kind] += spent;
    }
    learners.all_reduce_sum(std::span<double>(seconds));
    return {{"learners/computed", seconds[0]},
            {"learners/waited", seconds[1]},
            {"learners/communicated", seconds[2]}};
}

void log_roles(const std::map<std::string, double>& costs) {
    for (const std::string role : {"learners", "actors"}) {
        const auto seconds = [&](const char* what) {
            const auto entry = costs.find(role + "/" + what);
            return entry == costs.end() ? 0.0 : entry->second;
        };
        const double computed = seconds("computed"), waited = seconds("waited"),
                     communicated = seconds("communicated");
        const double share = 100.0 / std::max(1e-9, computed + waited + communicated);
        log::info(
            "  {:<18} computed {:.1f} %, waited {:.1f} %, communicated {:.1f} % of their time",
            role, share * computed, share * waited, share * communicated);
    }
}

}  // namespace thresher::jobs
