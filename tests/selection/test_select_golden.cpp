// The project's reference numbers for selections, where they are at hand.

#include <cmath>

#include "tests/selection/select_support.hpp"
#include "tests/support/golden.hpp"

using namespace thresher;
using namespace thresher::test;

namespace {

/// How often each id is among the k of many rounds.
void check_inclusion(const std::string& selector_name, const std::vector<float>& scores,
                     double beta, std::int64_t k, const std::vector<double>& inclusion) {
    constexpr int kRounds = 4000;
    std::vector<int> count(scores.size(), 0);
    for (std::uint32_t round = 0; round < kRounds; ++round) {
        const Selector selector{.name = selector_name, .beta = beta, .seed = 17, .round = round};
        for (const std::int64_t id : select_over(1, {scores, {}, {}}, k, selector).selection.ids) {
            ++count[static_cast<std::size_t>(id)];
        }
    }
    for (std::size_t i = 0; i < scores.size(); ++i) {
        const double p = inclusion[i];
        CHECK(std::abs(count[i] / double{kRounds} - p) <=
              5.0 * std::sqrt(p * (1 - p) / kRounds) + 1e-12);
    }
}

}  // namespace

TEST_CASE("top-k agrees with the reference cases, dealt to any ranks") {
    const nlohmann::json cases = golden("selection.json");
    if (cases.is_null()) return;
    for (const auto& test : cases["top_k"]) {
        // A score is finite or quarantined; the case of infinities ranks them, which is another
        // rule.
        if (test["name"] == "infinities_and_denormals") continue;
        Pool pool;
        pool.scores = test["scores"].get<std::vector<float>>();
        pool.ids = test["ids"].get<std::vector<std::int64_t>>();
        for (const auto& pick : test["picks"]) {
            const auto k = pick["k"].get<std::int64_t>();
            if (k == 0) continue;  // refused, see test_select.cpp
            for (const int ranks : {1, 2, 3, 7}) {
                INFO(test["name"] << ", k " << k << ", ranks " << ranks);
                CHECK(select_over(ranks, pool, k, {}).selection.ids ==
                      pick["ids"].get<std::vector<std::int64_t>>());
            }
        }
    }
}

TEST_CASE("softmax sampling has the reference inclusion probabilities") {
    const nlohmann::json cases = golden("selection.json");
    if (cases.is_null()) return;
    for (const auto& test : cases["plackett_luce"]) {
        std::vector<float> scores;
        for (const double weight : test["weights"])
            scores.push_back(static_cast<float>(std::log(weight)));
        INFO(test["name"]);
        check_inclusion("softmax", scores, 1.0, test["k"],
                        test["inclusion"].get<std::vector<double>>());
    }
    const auto& batch = cases["batch_law"];
    check_inclusion("softmax", batch["scores"].get<std::vector<float>>(), batch["beta"], batch["k"],
                    batch["inclusion"].get<std::vector<double>>());
}

TEST_CASE("one draw follows the reference laws of softmax, power and softrank") {
    const nlohmann::json cases = golden("selection.json");
    if (cases.is_null()) return;
    for (const auto& test : cases["single_draw_laws"]) {
        const auto scores = test["scores"].get<std::vector<float>>();
        for (const auto& [selector, law] : test["expected"].items()) {
            INFO(test["name"] << ", " << selector << ", beta " << test["beta"]);
            if (law.is_null()) {
                CHECK_THROWS_AS(
                    select_over(1, {scores, {}, {}}, 1, {.name = selector, .beta = test["beta"]}),
                    Error);
            } else {
                check_inclusion(selector, scores, test["beta"], 1, law.get<std::vector<double>>());
            }
        }
    }
}
