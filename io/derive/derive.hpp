#pragma once

// Pool -> pool: what web data does to a clean pool, and pieces of pools. Streams; everything random
// is drawn by Philox from (seed, id), so the result depends on nothing else.

#include <cstdint>
#include <string>
#include <vector>

#include "io/atomic_file.hpp"
#include "io/pool/pool_file.hpp"
#include "io/provenance.hpp"

namespace thresher::io {

enum class LabelNoise { uniform, next_class, class_map };

struct DeriveSplit {
    std::string name;
    std::int64_t rows = 0;  ///< -1: the rest
};

/// Steps are applied in this order, whatever the order of the options.
struct DeriveOptions {
    std::string output;  ///< a pool; with `splits`, a directory that gets <name>.h5 for each
    /// 1. Rows kept for sure in proportion to these shares, by class [classes]; empty: all. 1 keeps
    /// all.
    std::vector<double> class_shares;
    /// 2. Random rows to keep; 0: all.
    std::int64_t subset = 0;
    /// 3. Disjoint random pools of given sizes. Rows of one image go into one pool, which may so
    /// get a few more. Steps 4 to 6 apply to `spoil` alone, or to all where it is empty.
    std::vector<DeriveSplit> splits;
    std::string spoil;
    /// 4. Every row this many times, or a row of class c class_repeats[c] times (of unknown class
    /// once) [classes]; copies after the first get noise of `jitter` standard deviations.
    std::int64_t repeat = 1;
    std::vector<std::int64_t> class_repeats;
    double jitter = 0.0;
    /// 5. This share of rows gets another target; the truth is kept in /clean_targets.
    double label_noise = 0.0;
    LabelNoise noise_kind =
        LabelNoise::uniform;              ///< uniform: over all classes, the true one included
    std::vector<std::int64_t> class_map;  ///< class_map: class c becomes class_map[c]
    /// 6. This share of rows gets the caption of another row of the same new pool; the image that
    /// it was written for is kept in /caption_of. Holds the captions in memory.
    double shuffle_captions = 0.0;
    std::uint64_t seed = 0;
    std::int64_t rows_per_shard = 0;
    Overwrite overwrite = Overwrite::no;
};

struct DerivedPool {
    std::string path;
    std::int64_t rows = 0, changed_targets = 0, changed_captions = 0, repeated = 0;
};

/// Shares for an exponential imbalance: class c keeps factor^(-c / (classes - 1)), so the first
/// class is `factor` times the last.
std::vector<double> exponential_shares(double factor, std::int64_t classes);

/// "clean=1000,web=rest". Throws UsageError.
std::vector<DeriveSplit> parse_splits(const std::string& text);

/// The pool that a split becomes.
std::string split_path(const DeriveOptions& options, const DeriveSplit& split);

/// Throws UsageError for options that do not fit the pool, FileError for files. Local: one rank
/// derives.
std::vector<DerivedPool> derive_pool(const PoolFile& pool, const DeriveOptions& options,
                                     const Provenance& provenance);

}  // namespace thresher::io
