#pragma once

// The options that say which models are run over a pool, and how.

#include <memory>
#include <string>
#include <vector>

#include "io/pool/pool_file.hpp"
#include "jobs/job.hpp"
#include "src/strategy/predictor.hpp"

namespace thresher::jobs {

struct StrategyOptions {
    std::string learner, reference, online;  ///< model files; empty: none
    std::vector<std::string> ensemble;
    PredictorOptions predictor;

    bool has_models() const {
        return !learner.empty() || !reference.empty() || !online.empty() || !ensemble.empty();
    }
};

/// Adds --learner, --reference, --online, --ensemble, --strategy, --samples, --consistent-masks,
/// --boxes-per-image, --box-flips, --round and --micro-batch.
void add_strategy_options(CLI::App& app, StrategyOptions& options);

/// Warns of options that say how models predict, where none does, as `file` is read instead.
void warn_without_models(const Job& job, const std::string& file);

/// Loads the models and makes a predictor of them, under the job's seed. Throws UsageError where
/// options do not fit each other, a model that no strategy uses included; FileError and Error where
/// a model cannot be read or does not fit the pool. Local: the caller must agree() on it.
std::unique_ptr<Predictor> make_predictor(const Job& job, const StrategyOptions& options,
                                          const io::PoolFile& pool);

}  // namespace thresher::jobs
