#pragma once

// The rows that were picked, in pick order: batch.h5 for programs, batch.csv for the person who
// labels.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "io/atomic_file.hpp"
#include "io/provenance.hpp"

namespace thresher::io {

struct Batch {
    std::vector<std::int64_t> ids;   ///< [k] in pick order
    std::vector<float> scores;       ///< [k]
    std::vector<std::string> names;  ///< [k], or empty where the pool has none
    /// [k], or empty: the probability of having been picked, and 1 / (it x selectable rows), by
    /// which a sum over the batch estimates a mean over the pool.
    std::vector<double> inclusion_probabilities, weights;
    std::string acquisition, selector;
    std::optional<double> beta;  ///< none where the selector has none; temperature is 1 / beta
    std::uint64_t seed = 0;
    std::int64_t round = 0;
    std::map<std::string, std::string>
        settings;  ///< further attributes, such as similarity = "cosine"
};

/// Writes `path` (ends in .h5) and, beside it, the same name with .csv: header id,score,name,label
/// with label left empty. Throws FileError. Local: the root's business.
void write_batch(const std::string& path, const Batch& batch, const Provenance& provenance,
                 Overwrite overwrite);

/// Throws FileError. Local.
Batch read_batch(const std::string& path);

/// "batch.csv" for "batch.h5".
std::string csv_path_of_batch(const std::string& path);

/// How many labels a person has filled in in the list beside the batch `path`; 0 where there is
/// none. Throws FileError where it cannot be read. Local.
std::int64_t labels_filled_in(const std::string& path);

/// Whether a job that was killed while it wrote the batch `path` has left the list without it, and
/// nobody has written into that; then the list may be replaced. Local.
bool list_is_left_over(const std::string& path);

/// Throws UsageError unless `path` ends in .h5. Local.
void check_batch_path(const std::string& path);

}  // namespace thresher::io
