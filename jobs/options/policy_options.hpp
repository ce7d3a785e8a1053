#pragma once

// The options of training a policy, and of judging one.

#include <map>
#include <string>
#include <vector>

#include "jobs/options/environment_options.hpp"
#include "src/policy/candidate_features.hpp"
#include "src/policy/refreshed_table.hpp"
#include "src/policy/reinforce.hpp"

namespace thresher::jobs {

struct PolicyOptions {
    EnvironmentChoice choice;
    std::int64_t environments = 16, picks = 10;
    std::string metric;
    std::vector<std::string> tables;  ///< one of each environment, or none

    // train alone
    std::string head = "sequential", rewards = "table";
    std::vector<std::string> features = default_feature_kinds();
    std::int64_t hidden = 32;
    double logit_bound = 10.0;
    ReinforceOptions training;
    TableOptions table;
    std::string run;
    bool resume = false;
    double checkpoint_every_s = 60.0, max_walltime_s = 0.0;

    // evaluate alone
    std::string policy, output;
    std::vector<std::string> choosers{"entropy", "margin", "badge", "k-center"};
    std::int64_t random_batches = 100, draws = 16;
    std::int64_t retrainings = 0;  ///< of a search, in each environment; 0: as the policy had
    bool own = false, sample = false;

    /// What trains the policy, and what its rewards are looked up in.
    ReinforceOptions reinforce(std::uint64_t seed) const;
    TableOptions table_options(std::uint64_t environment_seed) const;
    /// A policy for `width` features that has learned nothing.
    Policy untrained(std::int64_t width, std::uint64_t seed) const;
    /// Everything that a resumed run must have in common with its first part. `checksum` is of the
    /// first environment, `proxy` what its proxy says of itself. Throws FileError for a table that
    /// cannot be read. Local.
    std::map<std::string, std::string> settings(std::uint64_t seed, const std::string& checksum,
                                                const std::string& proxy) const;
};

/// The action, which is the first argument.
void add_action(CLI::App& app);
void add_policy_training_options(CLI::App& app, PolicyOptions& options);
void add_policy_evaluation_options(CLI::App& app, PolicyOptions& options);

/// Throws UsageError unless there is no table, or one of each environment. Local.
void check_tables(const PolicyOptions& options);
/// Throws UsageError where a batch is to have more candidates than there are. Local.
void check_picks(const PolicyOptions& options);
/// Throws UsageError where the command line of a training gives an option that the others leave
/// without effect. Local.
void refuse_unused(const Job& job, const PolicyOptions& options);
/// Throws UsageError for what can be refused before anything is made. Local.
void check_policy_options(const PolicyOptions& options);

}  // namespace thresher::jobs
