#include "jobs/steps/loop/loop_pick.hpp"

#include <algorithm>

#include "src/base/agreement.hpp"

namespace thresher::jobs {

namespace {

/// The cycle's own policy, where the method is one that is trained on the way.
std::optional<io::TrainedPolicy> train_agent_of(Job& job, const LoopOptions& options,
                                                const Method& method, LoopTrack& track,
                                                PredictionStream& stream,
                                                std::span<const std::uint8_t> labelled,
                                                std::uint32_t round,
                                                const AgentCheckpoints& checkpoints) {
    const std::string& kind = method.choice.agent;
    if (method.acquisition != kPolicy || kind == "fixed") return std::nullopt;
    std::optional<io::TrainedPolicy> start;
    if (!method.choice.policy.empty()) {
        agree(job.collective(), [&] { start = io::read_policy(method.choice.policy); });
    }
    const AgentOptions agent{options.k,         options.agent_updates,
                             job.common().seed, round,
                             track.agent,       fmt::format("{} agent", method.text)};
    io::TrainedPolicy trained = train_agent(job, stream, labelled, track.ids, track.labels,
                                            start ? &*start : nullptr, agent, checkpoints);
    if (kind == "single") track.agent = trained.policy.parameters;
    return trained;
}

/// What may not be picked: labelled rows, and rows that a pool which labels by its targets has none
/// for.
std::vector<std::uint8_t> closed_rows(Collective& collective, const io::PoolFile& pool,
                                      RowRange own, std::vector<std::uint8_t> labelled,
                                      bool by_targets) {
    if (!by_targets) return labelled;
    agree(collective, [&] {
        std::vector<std::int64_t> targets(static_cast<std::size_t>(own.size()));
        pool.read_targets(own, targets);
        labelled.resize(targets.size());
        for (std::size_t i = 0; i < targets.size(); ++i) {
            if (targets[i] < 0) labelled[i] = 1;
        }
    });
    return labelled;
}

}  // namespace

std::unique_ptr<Predictor> predictor_for(const LoopOptions& options, const Method& method,
                                         const ModelRoles& models, const PoolInfo& pool,
                                         std::uint64_t seed, std::uint32_t round) {
    const auto needs = needs_of_choice(method.choice, method.acquisition);
    StrategyOptions strategy;
    // Deterministic predictions will do where one sample is enough.
    const bool sampled = std::find(needs.begin(), needs.end(), "samples") != needs.end();
    strategy.predictor.samples = sampled ? options.samples : 0;
    strategy.predictor.strategies = strategies_for(needs, strategy);
    if (strategy.predictor.strategies.empty()) return nullptr;
    const bool consistent =
        std::find(needs.begin(), needs.end(), "consistent-samples") != needs.end();
    strategy.predictor.consistent_masks = sampled && (options.consistent_masks || consistent);
    const auto reads = [&](std::string_view need) {
        return std::find(needs.begin(), needs.end(), need) != needs.end();
    };
    strategy.predictor.boxes = reads("boxes") ? options.boxes_per_image : 0;
    strategy.predictor.box_flips = reads("box-flips");
    strategy.predictor.seed = seed;
    strategy.predictor.round = round;
    auto predictor = std::make_unique<Predictor>(models, pool, strategy.predictor);
    THRESHER_CHECK_AS(
        UsageError, !reads("box-discrepancies") || predictor->shape().boxes.discrepancies,
        "acquisition {} looks at what two class heads say of a box, but the model has "
        "one; add --class-heads 2",
        method.acquisition);
    return predictor;
}

Picked pick_next(Job& job, const LoopOptions& options, const Method& method, const LoopPools& pools,
                 const ModelRoles& models, LoopTrack& track, std::uint32_t round,
                 const AgentCheckpoints& checkpoints) {
    Collective& collective = job.collective();
    const std::uint64_t seed = job.common().seed;
    std::unique_ptr<Predictor> pool_predictor, target_predictor;
    agree(collective, [&] {
        pool_predictor = predictor_for(options, method, models, pools.pool.info(), seed, round);
        if (pools.target) {
            target_predictor =
                predictor_for(options, method, models, pools.target->info(), seed, round);
        }
    });
    const auto stream = stream_models(job, pools.pool, std::move(pool_predictor));
    std::unique_ptr<PredictionStream> target;
    if (pools.target) target = stream_models(job, *pools.target, std::move(target_predictor));
    const std::vector<std::uint8_t> labelled =
        mark_ids(collective, track.ids, {stream->owned_rows(), stream->ids()}, options.pool.path);
    const std::optional<io::TrainedPolicy> agent =
        train_agent_of(job, options, method, track, *stream, labelled, round, checkpoints);
    const std::vector<std::uint8_t> closed =
        closed_rows(collective, pools.pool, stream->owned_rows(), labelled,
                    options.oracle == "pool" && !models.learner->spec().detector);
    const Choice choice = choose(
        job, *stream, method.choice, method.acquisition, options.k, round, closed,
        {labelled, target.get(), method.choice.aggregate.aggregation()}, agent ? &*agent : nullptr);
    for (const auto& [role, flops] : sum_flops(collective, stream->flops())) {
        checkpoints.ledger["flops/scoring_" + role] += flops;
    }
    return {collective.all_gather_v(std::span<const std::int64_t>(choice.selection.ids)).values,
            choice.selection.scores};
}

}  // namespace thresher::jobs
