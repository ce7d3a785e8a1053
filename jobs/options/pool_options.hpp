#pragma once

// The options that say which pool a verb reads.

#include <string>

#include "io/pool/pool_file.hpp"
#include "jobs/job.hpp"
#include "src/models/model_spec.hpp"

namespace thresher::jobs {

struct PoolOptions {
    std::string path;
    io::PoolPaths paths;
};

/// Adds --pool (required or not), --inputs, --targets and --classes.
void add_pool_options(CLI::App& app, PoolOptions& options, bool required);

/// Which datasets of the file are the pool, for runs that are resumed to compare. Local.
std::string describe_datasets(const PoolOptions& options);

/// Throws Error where the model reads captions in another vocabulary than the pool has them, as far
/// as both are known. `path` names the model in the message. Local.
void check_same_vocabulary(const ModelSpec& spec, const io::PoolFile& pool,
                           const std::string& path);

/// Opens the pool on every rank. Throws the same FileError on all ranks. Collective.
io::PoolFile open_pool(Job& job, const PoolOptions& options);
io::PoolFile open_pool(Job& job, const std::string& path);

}  // namespace thresher::jobs
