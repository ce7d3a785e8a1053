#pragma once

// The options that say in which environment batches are chosen, and how they are judged: shared by
// table, env and policy.

#include <string>
#include <vector>

#include "jobs/options/pool_options.hpp"
#include "src/environments/environments.hpp"
#include "src/environments/proxy.hpp"
#include "src/policy/lookup_table/items.hpp"

namespace thresher::jobs {

struct EnvironmentChoice {
    EnvironmentOptions environment;
    PoolOptions pool;
    ProxyOptions proxy;
    std::string supervision = "supervised";
    std::int64_t hidden = -1;  ///< the environment's own

    /// The options of the proxy with the texts above read into them. Throws UsageError.
    ProxyOptions proxy_options(std::uint64_t seed) const;
};

/// Adds --environment, those of pools, and how many points of which kind there are.
void add_environment_options(CLI::App& app, EnvironmentChoice& options);
/// Adds --proxy and how it is trained.
void add_proxy_options(CLI::App& app, EnvironmentChoice& options);

/// An environment and whose the candidates are.
struct OpenEnvironment {
    Environment environment;
    std::vector<std::int64_t> ids;  ///< [N] of the pool's rows, or positions; copies share theirs
    std::string checksum;           ///< of all that tables and policies depend on
};

/// Makes the environment of `seed` on every rank, from the pool where it needs one. Throws the same
/// error on all ranks. Collective.
OpenEnvironment open_environment(Job& job, const EnvironmentChoice& options, std::uint64_t seed);

/// What estimators know of the candidates, by a learner of the labelled set. Local.
CandidateFacts facts_of(const Environment& environment, const Proxy& proxy);

}  // namespace thresher::jobs
