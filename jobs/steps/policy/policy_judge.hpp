#pragma once

// What the batches of a policy, and of others who choose, are worth in one environment: retrained
// and judged on the test points, in units of how much random batches differ.

#include <map>
#include <string>
#include <vector>

#include "io/policy_file.hpp"
#include "jobs/options/policy_options.hpp"
#include "jobs/steps/policy/policy_grounds.hpp"
#include "src/base/spread.hpp"

namespace thresher::jobs {

/// Methods that retrain on many batches of an environment before they choose one: the best record
/// of a table of random ones, and plain search on a table that is refreshed.
inline constexpr std::string_view kBestOfTable = "best-of-table", kSearch = "search";
bool is_search(std::string_view name);

/// Throws UsageError for a name that is neither a chooser's nor a search's, listing them.
void check_chooser_or_search(std::string_view name);

/// In standard deviations of random batches of the same size above their mean.
struct Judged {
    double gain = 0.0;                ///< of a policy: the mean over what it drew
    double labels = 0.0;              ///< mean number of picks
    std::vector<std::int32_t> picks;  ///< the first batch
};

class PolicyJudge {
  public:
    /// Throws Error where random batches all have the same metric.
    PolicyJudge(const PolicyOptions& options, const Ground& ground);

    Judged policy(const Policy& policy);
    /// A chooser, or a search, which may retrain on `retrainings` batches. Local.
    Judged method(const std::string& name, std::int64_t retrainings);

    const Spread& random() { return random_of(options_.picks); }

  private:
    std::vector<std::int32_t> searched(const std::string& name, std::int64_t retrainings) const;
    double gain_of(std::span<const std::int32_t> batch);
    const Spread& random_of(std::int64_t size);

    const PolicyOptions& options_;
    const Ground& ground_;
    ProxyMetric metric_;
    std::map<std::int64_t, Spread> random_;  ///< of each size that was asked for
};

}  // namespace thresher::jobs
