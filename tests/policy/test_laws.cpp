// The laws of picking against reference numbers.

#include <cmath>

#include "src/policy/advantages.hpp"
#include "src/policy/heads/laws.hpp"
#include "tests/policy/policy_support.hpp"
#include "tests/support/golden.hpp"

using namespace thresher;
using namespace thresher::test;

namespace {

bool same(double found, double expected) {
    return std::abs(found - expected) <= 1e-12 * std::max(1.0, std::abs(expected));
}

struct Arms {
    std::vector<double> p, rewards;
    double entropy = 0.0;

    double expected_reward() const {
        double sum = 0.0;
        for (std::size_t a = 0; a < p.size(); ++a) sum += p[a] * rewards[a];
        return sum;
    }
    /// d log p(action) / d theta_i of a softmax.
    double score(std::size_t action, std::size_t i) const {
        return (action == i ? 1.0 : 0.0) - p[i];
    }
};

Arms arms_of(const std::vector<double>& theta, const std::vector<double>& rewards) {
    Arms arms{std::vector<double>(theta.size()), rewards};
    const std::vector<float> logits(theta.begin(), theta.end());
    const std::vector<std::uint8_t> taken(theta.size());
    arms.entropy = softmax_over_rest(logits, taken, arms.p).entropy;
    return arms;
}

}  // namespace

TEST_CASE("bandits have the probabilities, entropies and gradients of the reference") {
    const auto reference = golden("reinforce.json");
    if (reference.is_null()) return;
    for (const auto& bandit : reference["bandits"]) {
        INFO(bandit["name"]);
        const auto& expected = bandit["expected"];
        const Arms arms = arms_of(bandit["theta"], bandit["rewards"]);
        const double j = arms.expected_reward();
        CHECK(close(j, expected["J"]));
        CHECK(close(arms.entropy, expected["entropy"]));
        for (std::size_t i = 0; i < arms.p.size(); ++i) {
            CHECK(close(arms.p[i], expected["probabilities"][i]));
            CHECK(close(softmax_entropy_slope(arms.p[i], arms.entropy),
                        expected["gradient_of_entropy"][i]));
            double ascent = 0.0;
            for (std::size_t a = 0; a < arms.p.size(); ++a) {
                CHECK(close(arms.score(a, i), expected["score_function_by_action"][a][i]));
                // loss = -(R - baseline) log p
                CHECK(close(-(arms.rewards[a] - j) * arms.score(a, i),
                            expected["gradient_of_loss_by_action_baseline_J"][a][i]));
                ascent += arms.p[a] * arms.rewards[a] * arms.score(a, i);
            }
            CHECK(close(ascent, expected["expected_gradient_of_J"][i]));
        }
    }
}

TEST_CASE("the walk's law is that of the reference") {
    const auto reference = golden("reinforce.json");
    if (reference.is_null()) return;
    for (const auto& item : reference["sequential_law"]["cases"]) {
        INFO(item["name"]);
        const std::vector<double> z = item["z"];
        const std::int64_t n = std::ssize(z), b = item["b"];
        const auto& expected = item["expected"];
        std::vector<double> inclusion(z.size()), d_reward(z.size()), d_entropy(z.size());
        double entropy = 0.0, total = 0.0;
        for (const auto& subset : expected["subsets"]) {
            std::vector<std::uint8_t> picked(z.size());
            for (const std::size_t id : subset["ids"]) picked[id] = 1;
            double log_p = 0.0;
            std::vector<double> score(z.size());
            std::int64_t taken = 0;
            for (std::int64_t t = 0; t < n; ++t) {
                const double x = walk_log_odds(z[index(t)], b - taken, n - t);
                const bool pick = picked[index(t)] != 0;
                CHECK(same(action_probability(x), subset["step_probability"][index(t)]));
                log_p += action_log_probability(x, pick);
                score[index(t)] = action_score(x, pick);
                CHECK(same(score[index(t)], subset["score_function_dlogp_dz"][index(t)]));
                taken += pick ? 1 : 0;
            }
            CHECK(same(log_p, subset["log_p"]));
            const double probability = std::exp(log_p);
            total += probability;
            entropy -= probability * log_p;
            for (std::size_t t = 0; t < z.size(); ++t) {
                inclusion[t] += probability * picked[t];
                d_reward[t] += probability * subset["reward"].get<double>() * score[t];
                d_entropy[t] -= probability * (log_p + 1.0) * score[t];
            }
        }
        CHECK(same(total, 1.0));
        CHECK(same(entropy, expected["entropy"]));
        for (std::size_t t = 0; t < z.size(); ++t) {
            CHECK(same(inclusion[t], expected["inclusion"][t]));
            CHECK(same(d_reward[t], expected["expected_gradient_of_J"][t]));
            CHECK(same(d_entropy[t], expected["gradient_of_entropy"][t]));
        }
    }
}

TEST_CASE("the walk picks nothing when the budget is spent and everything that is left") {
    CHECK(action_probability(walk_log_odds(50.0, 0, 3)) == 0.0);
    CHECK(action_probability(walk_log_odds(-50.0, 3, 3)) == 1.0);
    CHECK(action_probability(walk_log_odds(0.0, 1, 4)) == Approx(0.25));
    CHECK(action_score(walk_log_odds(0.0, 3, 3), true) == 0.0);
    CHECK(action_entropy(walk_log_odds(0.0, 0, 3)) == 0.0);
    CHECK(action_log_probability(walk_log_odds(0.0, 3, 3), true) == 0.0);
}

TEST_CASE("advantages are rewards less their baseline in units of their spread") {
    const std::vector<double> rewards{1.0, 2.0, 3.0, 6.0};  // mean 3, variance 3.5
    const double unit = std::sqrt(3.5);
    const auto first = [&](const char* baseline, const std::vector<float>& values = {}) {
        return advantages_of(find_baseline(baseline), rewards, values, 2);
    };
    CHECK(first("none")[6] == Approx(6.0 / unit));
    CHECK(first("mean")[0] == Approx(-2.0 / unit));
    CHECK(first("mean")[1] == Approx(-2.0 / unit));
    CHECK(first("leave-one-out")[0] == Approx((1.0 - 11.0 / 3.0) / unit));
    // A value of 1 stands for one standard deviation above the mean.
    CHECK(first("value", std::vector<float>(8, 1.0F))[7] == Approx((3.0 - unit) / unit));
    CHECK_THROWS_WITH(find_baseline("median"), contains("known: none, mean, leave-one-out, value"));
}

TEST_CASE("rewards that are all the same teach nothing") {
    const std::vector<double> rewards(7, 0.1);
    for (const Baseline& baseline : baselines()) {
        INFO(baseline.name);
        for (const float advantage : advantages_of(baseline, rewards, std::vector<float>(7), 1)) {
            CHECK(advantage == 0.0F);
        }
    }
}
