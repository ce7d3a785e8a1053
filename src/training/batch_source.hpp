#pragma once

// Where a trainer gets the rows of every update from. Two bodies: the ranks score the candidates
// themselves (batch_stream), or actors do (actors/actor_feed).

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "src/base/phases.hpp"
#include "src/pool/example_source.hpp"

namespace thresher {

/// What an update works on; valid until the next one.
struct Batch {
    const Examples* own = nullptr;  ///< this rank's rows
    std::int64_t rows = 0;          ///< over all ranks
    std::vector<float> weights;     ///< of this rank's rows; empty: 1 each
    /// The rows it was chosen from; the same as above where all were kept.
    const Examples* own_candidates = nullptr;
    std::int64_t candidates = 0;
    double candidate_score = 0.0, chosen_score = 0.0;  ///< means; where rows are scored
    std::int64_t without_score = 0;  ///< candidates that have none and so were not chosen
    double staleness = 0.0;  ///< updates that the scores are behind, the mean over the candidates
};

class BatchSource {
  public:
    virtual ~BatchSource() = default;

    virtual std::int64_t batch_size() const = 0;   ///< rows of a full batch
    virtual std::int64_t super_batch() const = 0;  ///< candidates for one
    virtual std::int64_t steps_per_epoch() const = 0;
    virtual bool scores() const = 0;

    /// The batch of update `step`, counted from 0. Collective.
    virtual Batch next(std::int64_t step, std::int64_t steps, Phases& phases) = 0;

    /// Says that `step` of `steps` updates have been made: the models are as they are before the
    /// first batch is asked for, and after each update. Collective.
    virtual void updated(std::int64_t step, std::int64_t steps, Phases& phases) = 0;

    virtual bool has_staleness() const { return false; }  ///< whether scores may be behind

    /// Operations that scoring took so far, as far as this rank accounts for them.
    virtual double online_flops() const = 0;
    virtual double reference_flops() const = 0;

    /// What else is to be in a ledger, by name; adds up over the parts of a run.
    virtual std::map<std::string, double> costs() const { return {}; }
};

}  // namespace thresher
