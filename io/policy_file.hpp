#pragma once

// A trained selection policy: its parameters, what it reads, and how it was trained. One file, for
// any pool that offers the same kinds of features.

#include <cstdint>
#include <string>
#include <vector>

#include "io/atomic_file.hpp"
#include "io/provenance.hpp"
#include "src/policy/network/policy.hpp"
#include "src/policy/signatures.hpp"

namespace thresher::io {

struct TrainedPolicy {
    Policy policy;
    std::vector<std::string> feature_kinds;  ///< in the order in which they were read
    std::int64_t picks = 0;                  ///< size of the batches it was trained for
    std::string environment;                 ///< where
    std::int64_t retrainings = 0;            ///< in each environment; 0 where it does not say
    Curves curves;                           ///< one value an update, or a refresh
    /// Of the environments, by number; empty where the file does not say.
    std::vector<std::string> environment_checksums{};
};

/// Writes /parameters f32 [P], /curves/<name> f64, /environment_checksums, and what else there is
/// as attributes. Throws FileError. Local: the root's business.
void write_policy(const std::string& path, const TrainedPolicy& trained,
                  const Provenance& provenance, Overwrite overwrite);

/// Throws FileError for a file that is no policy, or whose parameters are not those of its sizes.
/// Local.
TrainedPolicy read_policy(const std::string& path);

}  // namespace thresher::io
