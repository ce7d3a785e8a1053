// The project's reference numbers for selections, where they are at hand.

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/selection/select_support.hpp"
#include "tests/support/catch.hpp"

using namespace thresher;
using namespace thresher::test;

namespace {

nlohmann::json golden() {
    std::ifstream file(THRESHER_GOLDEN_DIR "/selection.json");
    if (!file) {
        WARN("skipped: no " THRESHER_GOLDEN_DIR "/selection.json");
        return nullptr;
    }
    return nlohmann::json::parse(file);
}

/// How often each id is among the k of many rounds.
void check_inclusion(const std::vector<float>& scores, double temperature, std::int64_t k,
                     const std::vector<double>& inclusion) {
    constexpr int kRounds = 4000;
    std::vector<int> count(scores.size(), 0);
    for (std::uint32_t round = 0; round < kRounds; ++round) {
        const Selector selector{
            .name = "softmax", .temperature = temperature, .seed = 17, .round = round};
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
    const nlohmann::json cases = golden();
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
    const nlohmann::json cases = golden();
    if (cases.is_null()) return;
    for (const auto& test : cases["plackett_luce"]) {
        std::vector<float> scores;
        for (const double weight : test["weights"])
            scores.push_back(static_cast<float>(std::log(weight)));
        INFO(test["name"]);
        check_inclusion(scores, 1.0, test["k"], test["inclusion"].get<std::vector<double>>());
    }
    const auto& batch = cases["batch_law"];
    check_inclusion(batch["scores"].get<std::vector<float>>(), 1.0 / batch["beta"].get<double>(),
                    batch["k"], batch["inclusion"].get<std::vector<double>>());
    for (const auto& test : cases["single_draw_laws"]) {
        const double beta = test["beta"];
        if (beta <= 0) continue;
        INFO(test["name"] << ", beta " << beta);
        check_inclusion(test["scores"].get<std::vector<float>>(), 1.0 / beta, 1,
                        test["expected"]["softmax"].get<std::vector<double>>());
    }
}
