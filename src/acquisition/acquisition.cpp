#include "src/acquisition/acquisition.hpp"

#include <fmt/ranges.h>

#include <algorithm>

#include "src/acquisition/pointwise.hpp"
#include "src/base/check.hpp"

namespace thresher {

const std::vector<Acquisition>& acquisitions() {
    static const std::vector<Acquisition> table{
        {"random", {}, "a uniform number keyed by seed, round and id", "u", "-", score_random},
        {"least-confidence",
         {"log_probs"},
         "how far the likeliest class is from certain",
         "1 - max_c p_c",
         "Lewis and Gale 1994",
         score_least_confidence},
        {"margin",
         {"log_probs"},
         "how close the two likeliest classes are",
         "1 - (p_(1) - p_(2))",
         "Scheffer, Decomain and Wrobel 2001",
         score_margin},
        {"entropy",
         {"log_probs"},
         "entropy of the mean prediction",
         "- sum_c p_c log p_c",
         "Shannon 1948; Settles 2009",
         score_entropy},
        {"hard-learner",
         {"losses/learner"},
         "what the learner gets wrong",
         "l(x | learner)",
         "Evans et al. 2023 (arXiv 2312.05328)",
         score_hard_learner},
        {"easy-reference",
         {"losses/reference"},
         "what the reference finds easy",
         "- l(x | reference)",
         "Evans et al. 2023 (arXiv 2312.05328)",
         score_easy_reference},
        {"learnability",
         {"losses/learner", "losses/reference"},
         "what the learner gets wrong and the reference does not",
         "l(x | learner) - l(x | reference)",
         "Mindermann et al. 2022 (arXiv 2206.07137); Evans et al. 2023",
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

void check_fits(const Acquisition& acquisition, std::span<const std::string> available) {
    const auto missing_of = [&](const Acquisition& candidate) {
        std::vector<std::string_view> missing;
        for (const std::string_view need : candidate.needs) {
            if (std::find(available.begin(), available.end(), need) == available.end()) {
                missing.push_back(need);
            }
        }
        return missing;
    };
    const std::vector<std::string_view> missing = missing_of(acquisition);
    if (missing.empty()) return;
    std::vector<std::string_view> fitting;
    for (const Acquisition& other : acquisitions()) {
        if (missing_of(other).empty()) fitting.push_back(other.name);
    }
    std::vector<std::string_view> remedies;
    for (const std::string_view need : missing) {
        remedies.push_back(need == "log_probs" ? "strategy deterministic gives log_probs"
                           : need == "losses/reference"
                               ? "strategy loss with --reference gives losses/reference"
                               : "strategy loss with --learner gives losses/learner");
    }
    fail<UsageError>(
        "acquisition \"{}\" needs {}, but the predictions hold {}; {}; acquisitions that fit what "
        "is there: {}",
        acquisition.name, fmt::join(missing, " and "),
        available.empty() ? "nothing" : fmt::format("{}", fmt::join(available, ", ")),
        fmt::join(remedies, "; "), fmt::join(fitting, ", "));
}

}  // namespace thresher
