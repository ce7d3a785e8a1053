#include "src/training/prioritised/method.hpp"

#include <fmt/ranges.h>

#include <algorithm>

#include "src/acquisition/acquisition.hpp"
#include "src/base/check.hpp"

namespace thresher {

namespace {

bool reads(const Method& method, std::string_view need) {
    if (method.acquisition.empty()) return false;
    const auto& needs = find_acquisition(method.acquisition).needs;
    return std::find(needs.begin(), needs.end(), need) != needs.end();
}

}  // namespace

const std::vector<Method>& methods() {
    static const std::vector<Method> table{
        {"uniform", "", "", 1.0, false, "every row, in an order that is drawn", "1", "-"},
        {"hard-learner", "hard-learner", "softmax", 2.0, false,
         "rows that the online model finds hard", "l(x | online)",
         "Evans et al. 2023 (arXiv 2312.05328)"},
        {"easy-reference", "easy-reference", "softmax", 2.0, false,
         "rows that the reference finds easy", "- l(x | reference)",
         "Evans et al. 2023 (arXiv 2312.05328)"},
        {"learnability", "learnability", "softmax", 2.0, false,
         "rows that are hard for the online model and easy for the reference",
         "l(x | online) - l(x | reference)", "Evans et al. 2023 (arXiv 2312.05328)"},
        {"rho-loss", "learnability", "top-k", 10.0, true,
         "the highest reducible loss; the learner scores", "l(x | learner) - l(x | reference)",
         "Mindermann et al. 2022 (arXiv 2206.07137)"},
        {"jest", "learnability", "softmax", 5.0, true,
         "pairs of image and caption that are worth learning together, in chunks; the learner "
         "scores",
         "S_ii + sum over the chosen k of (S_ki + S_ik), S the sigmoid loss given the learner less "
         "that given the reference",
         "Evans et al. 2024 (arXiv 2406.17711)", true},
    };
    return table;
}

const Method& find_method(std::string_view name) {
    std::vector<std::string_view> known;
    for (const Method& method : methods()) {
        if (method.name == name) return method;
        known.push_back(method.name);
    }
    fail<UsageError>("method '{}' is not known; allowed: {}", name, fmt::join(known, ", "));
}

// The acquisitions call the model that is being trained, whose proxy the online model is, the
// learner.
bool needs_online(const Method& method) { return reads(method, "losses/learner"); }
bool needs_reference(const Method& method) { return reads(method, "losses/reference"); }

bool draws_rows(const Method& method) { return method.selector == "softmax" && !method.joint; }

}  // namespace thresher
