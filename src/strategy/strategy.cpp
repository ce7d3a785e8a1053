#include "src/strategy/strategy.hpp"

#include "src/base/check.hpp"

namespace thresher {

const std::vector<StrategyInfo>& strategies() {
    static const std::vector<StrategyInfo> table{
        {"deterministic",
         {"log_probs"},
         {"learner"},
         false,
         "one pass in eval mode; log-softmax of the logits in float32",
         "-"},
        {"loss",
         {"losses/learner", "losses/reference", "losses/online"},
         {"learner", "reference", "online"},
         true,
         "cross-entropy of each example, in eval mode, by every model that is given",
         "Mindermann et al. 2022 (arXiv 2206.07137)"}};
    return table;
}

const StrategyInfo& find_strategy(std::string_view name) {
    std::string known;
    for (const StrategyInfo& strategy : strategies()) {
        if (strategy.name == name) return strategy;
        known += known.empty() ? "" : ", ";
        known += strategy.name;
    }
    fail<UsageError>("there is no strategy '{}'; known: {}", name, known);
}

}  // namespace thresher
