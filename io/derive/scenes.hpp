#pragma once

// Pool of small classified images -> pool of scenes with boxes (src/environments/images/scene.hpp).
// Ranks compose in turns, the root writes; the pool is the same for any number of them.

#include <cstdint>
#include <string>
#include <vector>

#include "io/atomic_file.hpp"
#include "io/pool/pool_file.hpp"
#include "io/provenance.hpp"
#include "src/base/collective.hpp"

namespace thresher::io {

struct ScenesOptions {
    std::string output;
    std::int64_t scenes = 0;
    std::int64_t size = 64;
    /// Classes of the pool, by name or number, that are objects, in their new order; empty: its
    /// first five. Images of the others are cut to the fragments of junk.
    std::vector<std::string> classes;
    std::vector<double> class_shares;  ///< [classes], with the sum 1; empty: all the same
    double junk = 0.0;                 ///< share of the scenes without an object
    double alike = 0.0;                ///< share of the others whose items are all of one class
    double noise = 1.0;                ///< strength of the ground; 0: black
    std::uint64_t seed = 0;
    std::int64_t rows_per_shard = 0;
    Overwrite overwrite = Overwrite::no;
};

struct ScenesReport {
    std::int64_t scenes = 0, junk = 0;
    std::vector<std::string> class_names;
    std::vector<std::int64_t> boxes;  ///< of each class
};

/// Throws UsageError naming all that does not fit the pool, FileError for files. `provenance`
/// counts at the root. The report is the root's. Collective.
ScenesReport derive_scenes(const PoolFile& pool, const ScenesOptions& options,
                           const Provenance& provenance, Collective& collective);

}  // namespace thresher::io
