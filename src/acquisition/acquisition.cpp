#include "src/acquisition/acquisition.hpp"

#include <fmt/ranges.h>

#include <algorithm>

#include "src/acquisition/pointwise.hpp"
#include "src/base/check.hpp"

namespace thresher {

const std::vector<Acquisition>& acquisitions() {
    static const std::vector<Acquisition> table{
        {"random",
         {},
         "largest",
         "a uniform number keyed by seed, round and id",
         "u",
         "-",
         "1 draw",
         score_random},
        {"least-confidence",
         {"log_probs"},
         "smallest",
         "probability of the likeliest class, of the mean prediction",
         "1 - max_c p_c",
         "Lewis and Gale 1994",
         "S C exponentials",
         score_least_confidence},
        {"margin",
         {"log_probs"},
         "smallest",
         "lead of the likeliest class over the second, of the mean prediction",
         "1 - (p_(1) - p_(2))",
         "Scheffer, Decomain and Wrobel 2001",
         "S C exponentials",
         score_margin},
        {"entropy",
         {"log_probs"},
         "largest",
         "entropy of the mean prediction",
         "- sum_c p_c log p_c",
         "Shannon 1948; Settles 2009",
         "S C exponentials, and C logarithms where S > 1",
         score_entropy},
        {"hard-learner",
         {"losses/learner"},
         "largest",
         "loss of the learner",
         "l(x | learner)",
         "Evans et al. 2023 (arXiv 2312.05328)",
         "1 value",
         score_hard_learner},
        {"easy-reference",
         {"losses/reference"},
         "smallest",
         "loss of the reference",
         "- l(x | reference)",
         "Evans et al. 2023 (arXiv 2312.05328)",
         "1 value",
         score_easy_reference},
        {"learnability",
         {"losses/learner", "losses/reference"},
         "largest",
         "what the learner gets wrong and the reference does not",
         "l(x | learner) - l(x | reference)",
         "Mindermann et al. 2022 (arXiv 2206.07137); Evans et al. 2023",
         "2 values",
         score_learnability},
    };
    return table;
}

const Acquisition& find_acquisition(std::string_view name) {
    std::vector<std::string_view> known;
    for (const Acquisition& acquisition : acquisitions()) {
        if (acquisition.name == name) return acquisition;
        known.push_back(acquisition.name);
    }
    fail<UsageError>("unknown acquisition \"{}\"; known: {}", name, fmt::join(known, ", "));
}

std::vector<std::string_view> missing_needs(std::span<const std::string_view> needs,
                                            std::span<const std::string> available) {
    std::vector<std::string_view> missing;
    for (const std::string_view need : needs) {
        if (std::find(available.begin(), available.end(), need) == available.end()) {
            missing.push_back(need);
        }
    }
    return missing;
}

std::string_view remedy_for(std::string_view need) {
    static const std::map<std::string_view, std::string_view> remedies{
        {"log_probs", "strategy deterministic gives log_probs"},
        {"samples",
         "samples are two or more predictions of each row: strategy monte-carlo or ensemble gives "
         "them"},
        {"embeddings", "strategy embedding gives embeddings"},
        {"losses/learner", "strategy loss with --learner gives losses/learner"},
        {"losses/reference", "strategy loss with --reference gives losses/reference"},
        {"targets", "--pool with a pool that has targets gives targets"},
        {"labelled", "--labelled with the ids that have labels gives labelled"},
        {"neighbours", "neighbours are found by embeddings"},
        {"target-predictions", "--target-pool gives target-predictions"}};
    const auto remedy = remedies.find(need);
    THRESHER_CHECK(remedy != remedies.end(), "no remedy is known for the need \"{}\"", need);
    return remedy->second;
}

void check_fits(const Acquisition& acquisition, std::span<const std::string> available) {
    const std::vector<std::string_view> missing = missing_needs(acquisition.needs, available);
    if (missing.empty()) return;
    std::vector<std::string_view> fitting, remedies;
    for (const Acquisition& other : acquisitions()) {
        if (missing_needs(other.needs, available).empty()) fitting.push_back(other.name);
    }
    for (const std::string_view need : missing) remedies.push_back(remedy_for(need));
    fail<UsageError>(
        "acquisition \"{}\" needs {}, but the predictions hold {}; {}; acquisitions that fit what "
        "is there: {}",
        acquisition.name, fmt::join(missing, " and "),
        available.empty() ? "nothing" : fmt::format("{}", fmt::join(available, ", ")),
        fmt::join(remedies, "; "), fmt::join(fitting, ", "));
}

}  // namespace thresher
