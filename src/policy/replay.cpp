#include "src/policy/replay.hpp"

#include <algorithm>
#include <cmath>

namespace thresher {

void ReplayMemory::keep(const Rollouts& rollouts, std::span<const double> found,
                        std::int64_t capacity) {
    const std::size_t width = rollouts.trace.orders.size() / rollouts.picks.size();
    picks.insert(picks.end(), rollouts.picks.begin(), rollouts.picks.end());
    orders.insert(orders.end(), rollouts.trace.orders.begin(), rollouts.trace.orders.end());
    log_probabilities.insert(log_probabilities.end(), rollouts.log_probabilities.begin(),
                             rollouts.log_probabilities.end());
    metrics.insert(metrics.end(), found.begin(), found.end());
    const auto excess = std::max<std::ptrdiff_t>(0, size() - capacity);
    picks.erase(picks.begin(), picks.begin() + excess);
    orders.erase(orders.begin(), orders.begin() + excess * static_cast<std::ptrdiff_t>(width));
    log_probabilities.erase(log_probabilities.begin(), log_probabilities.begin() + excess);
    metrics.erase(metrics.begin(), metrics.begin() + excess);
}

void ReplayMemory::put_into(TrainState& state, const std::string& prefix) const {
    std::vector<std::int64_t> sizes;
    std::vector<std::int32_t> all;
    for (const auto& batch : picks) {
        sizes.push_back(std::ssize(batch));
        all.insert(all.end(), batch.begin(), batch.end());
    }
    put(state, prefix + "sizes", std::span<const std::int64_t>(sizes));
    put(state, prefix + "picks", std::span<const std::int32_t>(all));
    put(state, prefix + "orders", std::span<const std::int32_t>(orders));
    put(state, prefix + "log_probabilities", std::span<const double>(log_probabilities));
    put(state, prefix + "metrics", std::span<const double>(metrics));
}

void ReplayMemory::take_from(const TrainState& state, const std::string& prefix) {
    const auto sizes = values_in<std::int64_t>(state, prefix + "sizes");
    const auto all = values_in<std::int32_t>(state, prefix + "picks");
    orders = values_in<std::int32_t>(state, prefix + "orders");
    log_probabilities = values_in<double>(state, prefix + "log_probabilities");
    metrics = values_in<double>(state, prefix + "metrics");
    picks.clear();
    auto from = all.begin();
    for (const std::int64_t count : sizes) {
        picks.emplace_back(from, from + count);
        from += count;
    }
}

Rollouts follow_memory(const Policy& policy, const CandidateSet& candidates, Draw draw,
                       const ReplayMemory& memory) {
    Rollouts rollouts;
    rollouts.picks = memory.picks;
    rollouts.trace.orders = memory.orders;
    draw.rollouts = memory.size();
    follow_batches(policy, candidates, draw, rollouts);
    return rollouts;
}

void weigh_by_importance(const ReplayMemory& memory, const Rollouts& now,
                         std::span<float> advantages) {
    const std::size_t steps = advantages.size() / memory.picks.size();
    for (std::size_t k = 0; k < memory.picks.size(); ++k) {
        const double ratio = std::exp(now.log_probabilities[k] - memory.log_probabilities[k]);
        const auto weight = static_cast<float>(std::min(ratio, kMostImportance));
        for (float& advantage : advantages.subspan(k * steps, steps)) advantage *= weight;
    }
}

}  // namespace thresher
