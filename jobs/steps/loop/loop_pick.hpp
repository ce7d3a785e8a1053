#pragma once

// What follows the training of a cycle: predictions with its model, a policy trained on the way,
// and the next batch.

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "io/pool/pool_file.hpp"
#include "jobs/options/loop_options.hpp"
#include "jobs/steps/loop/cycle_agent.hpp"
#include "jobs/steps/loop/loop_state.hpp"
#include "src/strategy/predictor.hpp"

namespace thresher::jobs {

/// What the method reads of a pool; null where it reads nothing. Throws where the models cannot
/// give it. Local.
std::unique_ptr<Predictor> predictor_for(const LoopOptions& options, const Method& method,
                                         const ModelRoles& models, const PoolInfo& pool,
                                         std::uint64_t seed, std::uint32_t round);

struct LoopPools {
    const io::PoolFile& pool;
    const std::optional<io::PoolFile>& target;
};

/// A batch in pick order: its ids on all ranks, its scores at the root.
struct Picked {
    std::vector<std::int64_t> ids;
    std::vector<float> scores;
};

/// The next batch of a track, whose labelled rows are left out. Adds what scoring takes to the
/// ledger of `checkpoints`, which are for the policy that is trained on the way, where one is.
/// Collective.
Picked pick_next(Job& job, const LoopOptions& options, const Method& method, const LoopPools& pools,
                 const ModelRoles& models, LoopTrack& track, std::uint32_t round,
                 const AgentCheckpoints& checkpoints);

}  // namespace thresher::jobs
