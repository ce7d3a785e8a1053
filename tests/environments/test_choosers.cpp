#include <algorithm>
#include <cmath>
#include <set>

#include "src/base/check.hpp"
#include "src/environments/choosers.hpp"
#include "src/environments/environments.hpp"
#include "src/environments/points/point_proxy.hpp"
#include "src/environments/policy_chooser.hpp"
#include "src/environments/rewards.hpp"
#include "tests/support/catch.hpp"

using namespace thresher;
using thresher::test::contains;

namespace {

struct Game {
    Environment environment = make_environment({.candidates = 40, .reward = 300}, 1);
    PointProxy proxy{environment, {}};
    Situation situation(std::vector<std::int32_t> picked = {}) const {
        return {environment, proxy, std::move(picked), 1, 5, 0};
    }
    double reward(std::vector<std::int32_t> batch) const {
        double value = 0.0;
        proxy.evaluate_mean(batch, std::ssize(batch), Part::reward, 1, std::span(&value, 1));
        return value;
    }
};

}  // namespace

TEST_CASE("everyone who can choose picks as many as asked for, once, and none twice",
          "[choosers]") {
    const Game game;
    const std::vector<std::int32_t> picked{3, 17, 39};
    for (const std::string& name : choosers()) {
        INFO(name);
        const auto batch = choose_batch(name, game.situation(picked), 6);
        std::set<std::int32_t> all(batch.begin(), batch.end());
        CHECK(all.size() == 6);
        CHECK(*all.begin() >= 0);
        CHECK(*all.rbegin() < 40);
        for (const std::int32_t candidate : picked) CHECK(all.count(candidate) == 0);
        CHECK(batch == choose_batch(name, game.situation(picked), 6));
    }
}

TEST_CASE("entropy picks what the learner is least sure of", "[choosers]") {
    const Game game;
    const auto log_probs = game.proxy.log_probs({}, Part::candidates, {});
    std::vector<std::pair<double, std::int32_t>> order;
    for (std::int32_t i = 0; i < 40; ++i) {
        double entropy = 0.0;
        for (std::size_t c = 0; c < 4; ++c) {
            const double log_p = double{log_probs[4 * static_cast<std::size_t>(i) + c]};
            entropy += std::exp(log_p) * log_p;
        }
        order.emplace_back(entropy, i);
    }
    std::sort(order.begin(), order.end());
    const auto batch = choose_batch("entropy", game.situation(), 3);
    for (std::size_t i = 0; i < 3; ++i) CHECK(batch[i] == order[i].second);
}

TEST_CASE("k-center picks first what is farthest from all that is labelled", "[choosers]") {
    const Game game;
    const std::vector<std::int32_t> picked{8};
    const auto at = [](const Points& points, std::int64_t i) {
        const auto row = static_cast<std::size_t>(2 * i);
        return std::pair{double{points.features[row]}, double{points.features[row + 1]}};
    };
    std::pair<double, std::int32_t> farthest{-1.0, -1};
    for (std::int32_t i = 0; i < 40; ++i) {
        const auto [x, y] = at(game.environment.candidates, i);
        double nearest = 1e9;
        const auto consider = [&](std::pair<double, double> other) {
            nearest = std::min(nearest, std::hypot(x - other.first, y - other.second));
        };
        for (std::int64_t j = 0; j < 20; ++j) consider(at(game.environment.labelled, j));
        consider(at(game.environment.candidates, 8));
        if (i != 8) farthest = std::max(farthest, {nearest, i});
    }
    CHECK(choose_batch("k-center", game.situation(picked), 2)[0] == farthest.second);
}

TEST_CASE("the oracle takes the best single candidate first, then what adds most to it",
          "[choosers]") {
    const Game game;
    std::int32_t first = 0, second = 0;
    for (std::int32_t i = 1; i < 40; ++i) {
        if (game.reward({i}) > game.reward({first})) first = i;
    }
    if (first == 0) second = 1;
    for (std::int32_t i = 0; i < 40; ++i) {
        if (i != first && game.reward({first, i}) > game.reward({first, second})) second = i;
    }
    CHECK(choose_batch("oracle", game.situation(), 2) == std::vector<std::int32_t>{first, second});
    CHECK(choose_batch("best-singles", game.situation(), 1)[0] == first);
    CHECK(metrics_of_singles(game.situation())[7] == game.reward({7}));
    CHECK(metrics_of_singles(game.situation({7, 2}))[2] == game.reward({7, 2}));
}

TEST_CASE("a policy chooses among what is left, the first where it has no preference",
          "[choosers]") {
    const Game game;
    const std::vector<std::string> kinds{"entropy", "distance-to-labelled"};
    const Policy policy = make_policy("sequential", {2, 16, 1}, 10.0, 1);  // of equal outputs
    CHECK(choose_by_policy(policy, kinds, game.situation({0, 3}), 3) ==
          std::vector<std::int32_t>{1, 2, 4});
    const Policy walk = make_policy("walk", {2, 16, 1}, 10.0, 1);  // draws
    const auto batch = choose_by_policy(walk, kinds, game.situation({0, 3}), 38);
    std::set<std::int32_t> all(batch.begin(), batch.end());
    CHECK(all.size() == 38);
    CHECK(all.count(0) + all.count(3) == 0);
    CHECK_THROWS_WITH(
        choose_by_policy(policy, std::vector<std::string>{"entropy"}, game.situation(), 3),
        contains("features"));
}

TEST_CASE("who cannot choose is refused by name", "[choosers]") {
    const Game game;
    CHECK_THROWS_WITH(choose_batch("bald", game.situation(), 2),
                      contains("bald") && contains("oracle"));
    CHECK_THROWS_WITH(choose_batch("nobody", game.situation(), 2), contains("nobody"));
    CHECK_THROWS_WITH(choose_batch("random", game.situation({1, 2}), 39),
                      contains("38 candidates are left"));
    CHECK_THROWS_WITH(choose_batch("random", game.situation(), 0), contains("batch of 0"));
}

TEST_CASE("rewards are shaped as their names say", "[rewards]") {
    const std::vector<double> metrics{0.5, 0.7, 0.9};
    const auto shaped = [&](const char* name) {
        return find_reward_shaping(name).shape(metrics, 0.4, 0.2);
    };
    const auto check = [](const std::vector<double>& found, std::vector<double> expected) {
        REQUIRE(found.size() == expected.size());
        for (std::size_t i = 0; i < found.size(); ++i) {
            CHECK(found[i] == Approx(expected[i]).margin(1e-12));
        }
    };
    check(shaped("delta"), {0.1, 0.3, 0.5});
    check(shaped("centred"), {-0.2, 0.0, 0.2});
    check(shaped("standardised"), {-std::sqrt(1.5), 0.0, std::sqrt(1.5)});
    check(shaped("threshold"), {-0.1, 0.1, 0.3});
    check(find_reward_shaping("standardised").shape(std::vector<double>{2.0, 2.0}, 0.0, 0.0),
          {0.0, 0.0});
    CHECK_THROWS_WITH(find_reward_shaping("sum"), contains("standardised"));
}
