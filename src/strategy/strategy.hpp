#pragma once

// Strategies say how predictions are made. One table: name -> what it produces and which models it
// needs.

#include <string>
#include <string_view>
#include <vector>

namespace thresher {

struct StrategyInfo {
    std::string_view name;
    std::vector<std::string_view>
        produces;  ///< as Acquisition::needs has it: "log_probs", "losses/learner", "boxes"
    std::vector<std::string_view> roles;  ///< models it uses; at least one of them must be given
    bool needs_targets;
    std::string_view description, source;
};

const std::vector<StrategyInfo>& strategies();

/// Throws UsageError, listing the known ones.
const StrategyInfo& find_strategy(std::string_view name);

}  // namespace thresher
