#pragma once

// A policy for one cycle of active learning, trained in environments drawn from what is labelled so
// far: all their labels are known, so rewards are retrained proxies and not estimates.

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>

#include "io/policy_file.hpp"
#include "jobs/steps/scoring/prediction_stream.hpp"
#include "jobs/steps/training/checkpointing.hpp"
#include "src/environments/environment.hpp"

namespace thresher::jobs {

/// Rows that must be labelled for a batch of k: half of them are the candidates of an environment,
/// and a batch is half of those at most. With fewer than 8, one is labelled, or none rewards.
inline std::int64_t labels_needed(std::int64_t k) { return std::max<std::int64_t>(8, 4 * k); }

struct AgentOptions {
    std::int64_t picks = 0;      ///< k
    std::int64_t updates = 100;  ///< of a cycle
    std::uint64_t seed = 0;
    std::uint32_t round = 0;            ///< with the seed, the key of the cycle
    std::span<const float> parameters;  ///< to go on from; empty: those of the policy
    std::string title;                  ///< of its progress
};

/// When a training is stopped, what is written then, and what it goes on from.
struct AgentCheckpoints {
    CheckpointClock& clock;
    /// Told the agent's state on all ranks. Collective.
    std::function<void(const TrainState& agent)> write;
    TrainState begun;                       ///< such a state; empty: none
    std::map<std::string, double>& ledger;  ///< gains flops/policy, in the end, and flops/proxy
};

/// Goes on from the policy `start`, or where it is null from one that has learned nothing.
/// `labelled` marks own rows of the stream; their labels are those of `ids`, below 0 where unknown.
/// Embeddings of the stream, in principal components, are the features of environments, and their
/// proxies' predictions what a policy reads. Throws the same Error on all ranks where fewer than
/// labels_needed() rows have a label and predictions. After a stop signal a checkpoint is written
/// and Requeue is thrown, on all ranks. Collective; the same bits for any number of ranks, and
/// however often it was stopped.
io::TrainedPolicy train_agent(Job& job, PredictionStream& stream,
                              std::span<const std::uint8_t> labelled,
                              std::span<const std::int64_t> ids,
                              std::span<const std::int64_t> labels, const io::TrainedPolicy* start,
                              const AgentOptions& options, const AgentCheckpoints& checkpoints);

}  // namespace thresher::jobs
