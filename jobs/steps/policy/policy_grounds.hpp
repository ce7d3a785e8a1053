#pragma once

// The environments that a policy is trained or judged in, each with its candidates as the policy
// sees them and what batches of them are worth.

#include <memory>
#include <optional>
#include <vector>

#include "jobs/options/policy_options.hpp"
#include "src/environments/proxy.hpp"
#include "src/policy/refreshed_table.hpp"
#include "src/policy/shared_metric.hpp"

namespace thresher::jobs {

struct Ground {
    OpenEnvironment open;
    std::uint64_t seed = 0;
    std::unique_ptr<Proxy> proxy;
    CandidateSet candidates;
    std::optional<LookupTable> built;        ///< what --table names
    std::unique_ptr<ProxyMetric> retrained;  ///< on the reward points, by this rank alone
    std::unique_ptr<SharedMetric> reward;    ///< the same, shared out over the ranks
    std::unique_ptr<RefreshedTable> table;   ///< where rewards are looked up
};

/// The first number of the environments that no policy is trained in.
inline constexpr std::int64_t kFresh = std::int64_t{1} << 20;

/// Gives a ground that has its environment its proxy, its candidates and what batches of them are
/// worth. Throws the same error on all ranks. Collective.
void furnish(Job& job, Ground& ground, const EnvironmentChoice& proxy, const std::string& metric,
             std::span<const std::string> features);

/// Environment number `number` of the job's seed: fresh ones have numbers, and in pools rows, of
/// their own. Where there is a table of that number, the environment that it was built in.
Ground make_ground(Job& job, const PolicyOptions& options, const EnvironmentSource& source,
                   std::span<const std::string> features, std::int64_t number);

/// Gives a ground its table: as it was in `state`, or, where that is empty, of random records or of
/// those that it was built from. Throws the same error on all ranks. Collective.
void give_table(Job& job, Ground& ground, const PolicyOptions& options,
                const TrainState& state = {});

/// Fits their tables again where there are any; see fit_together(). Collective.
void fit_tables(std::span<const Ground> grounds, Collective& collective);

/// Environments to train in, without tables yet. Throws the same error on all ranks. Collective.
std::vector<Ground> make_grounds(Job& job, const PolicyOptions& options);

}  // namespace thresher::jobs
