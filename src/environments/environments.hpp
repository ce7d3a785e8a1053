#pragma once

// How environments are made, each from a seed: one table of name -> maker. Adding one is a function
// and a line in the table of environments.cpp.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "src/environments/environment.hpp"

namespace thresher {

struct EnvironmentOptions {
    std::string name = "ring";
    std::int64_t candidates = 200;  ///< N, copies included
    std::int64_t labelled = 20, reward = 800, test = 2000;
    std::int64_t repeat = 1;     ///< each candidate so many times
    double repeat_noise = 0.05;  ///< of the copies, in standard deviations of the features
    /// pool: principal components that replace the features; 0 leaves them as they are.
    std::int64_t components = 0;

    /// Rows of a pool that the environment takes.
    std::int64_t rows() const { return labelled + candidates / repeat + reward + test; }
};

struct EnvironmentInfo {
    std::string_view name, description;
    bool reads_pool;
    /// Width of the hidden layer that the proxy needs to tell the classes apart; 0: none.
    std::int64_t hidden;
    /// `pool`: the rows that draw_rows() names, in its order; nobody else's.
    Environment (*make)(const EnvironmentOptions& options, std::uint64_t seed, const Points& pool,
                        std::int64_t dimensions, std::int64_t classes);
};

const std::vector<EnvironmentInfo>& environments();

/// Throws UsageError, listing the known ones.
const EnvironmentInfo& find_environment(std::string_view name);

/// Throws UsageError for numbers that no environment can have. Local.
void check_environment_options(const EnvironmentOptions& options);

/// The rows of a pool fall into two halves by a hash of the row alone: environments that policies
/// are trained in are drawn from one, fresh ones that they are judged in from the other.
enum class Half { training, fresh };
Half half_of(std::int64_t row);
/// The targets [rows] of a pool, those of the other half's rows as unknown (-1). Local.
std::vector<std::int64_t> targets_of_half(std::span<const std::int64_t> targets, Half half);

/// options.rows() rows of a pool with these targets [rows], drawn without replacement so that every
/// run of them has the pool's shares of classes, as nearly as whole rows allow. Rows of unknown
/// target (below 0) are never drawn. Throws Error where there are too few. Local.
std::vector<std::int64_t> draw_rows(std::span<const std::int64_t> targets,
                                    const EnvironmentOptions& options, std::uint64_t seed);

/// An environment that reads no pool, or the rows of one: `pool` [options.rows()] as drawn by
/// draw_rows() under the same seed, of `dimensions` and `classes`. The same bits for the same
/// arguments. Throws UsageError as check_environment_options. Local.
Environment make_environment(const EnvironmentOptions& options, std::uint64_t seed,
                             const Points& pool = {}, std::int64_t dimensions = 0,
                             std::int64_t classes = 0);

/// Which of the distinct candidates, from 0, each candidate is or is a copy of, [candidates]; of a
/// pool, distinct candidate i is row `labelled + i` of draw_rows(). Local.
std::vector<std::int64_t> candidate_origins(const EnvironmentOptions& options, std::uint64_t seed);

}  // namespace thresher
