#include "src/strategy/strategy.hpp"

#include "src/base/check.hpp"

namespace thresher {

const std::vector<StrategyInfo>& strategies() {
    static const std::vector<StrategyInfo> table{
        {"deterministic",
         {"log_probs"},
         {"learner"},
         false,
         "one pass in eval mode; log-softmax of the logits in float32; of a detector, the share of "
         "each class, and last of nothing, in what it expects to find",
         "-"},
        {"monte-carlo",
         {"log_probs"},
         {"learner"},
         false,
         "S passes in which dropout layers drop and all else is in eval mode",
         "Gal and Ghahramani 2016 (arXiv 1506.02142); consistent masks: Kirsch, van Amersfoort "
         "and Gal 2019 (arXiv 1906.08158)"},
        {"ensemble",
         {"log_probs"},
         {"ensemble"},
         false,
         "one pass in eval mode by each of S models",
         "Lakshminarayanan, Pritzel and Blundell 2017 (arXiv 1612.01474); Beluch et al. 2018"},
        {"boxes",
         {"boxes"},
         {"learner"},
         false,
         "the best boxes that a detector finds in each image, with the distribution over classes "
         "and background of each; with --box-flips also how far it moves where the image is "
         "mirrored, of two class heads how far they disagree",
         "Roy, Unmesh and Namboodiri 2018; flips: Jeong et al. 2019 (CSD), Kao et al. 2018 (arXiv "
         "1801.05124); two heads: Yuan et al. 2021 (MI-AOD, arXiv 2104.02324)"},
        {"embedding",
         {"embeddings"},
         {"learner"},
         false,
         "the input of the last layer, in eval mode; of a two-tower the embedding of the image; of "
         "a detector the mean of the trunk's last features",
         "Sener and Savarese 2018 (arXiv 1708.00489)"},
        {"loss",
         {"losses/learner", "losses/reference", "losses/online"},
         {"learner", "reference", "online"},
         true,
         "cross-entropy of each example, in eval mode, by every model that is given; of a "
         "two-tower "
         "-(image . caption)",
         "Mindermann et al. 2022 (arXiv 2206.07137); Evans et al. 2023 (arXiv 2312.05328)"},
        {"predicted-loss",
         {"losses/predicted"},
         {"learner"},
         false,
         "what a detector that was trained with --loss-head expects of its loss of each image, in "
         "eval mode",
         "Yoo and Kweon 2019 (arXiv 1905.03677)"},
        {"random",
         {},
         {},
         false,
         "no model and no predictions, for acquisitions that need none",
         "-"}};
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
