#include <array>
#include <cmath>

#include "src/policy/replay.hpp"
#include "tests/policy/policy_support.hpp"
#include "tests/support/catch.hpp"

using namespace thresher;
using namespace thresher::test;

namespace {

constexpr std::array kPays{1.0, -0.5};  // what the arms of a bandit are worth

/// The first arm and the second, as a policy would have drawn them under this draw's orders.
ReplayMemory both_arms(const Policy& policy, const CandidateSet& arms, const Draw& draw) {
    Rollouts rollouts;
    rollouts.picks = {{0}, {1}};
    rollouts.trace.orders = shuffled_orders(2, draw);
    follow_batches(policy, arms, draw, rollouts);
    ReplayMemory memory;
    memory.keep(rollouts, kPays, 2);
    return memory;
}

std::vector<double> probabilities(const Policy& policy, const CandidateSet& arms,
                                  const Draw& draw) {
    std::vector<double> p;
    for (const double log_p : both_arms(policy, arms, draw).log_probabilities)
        p.push_back(std::exp(log_p));
    return p;
}

/// What a draw is worth on average.
double expected_worth(const Policy& policy, const CandidateSet& arms, const Draw& draw) {
    const auto p = probabilities(policy, arms, draw);
    return p[0] * kPays[0] + p[1] * kPays[1];
}

std::vector<float> advantages_of_pays(double first_share, double second_share, std::int64_t steps) {
    std::vector<float> advantages;
    for (const double value : {first_share * kPays[0], second_share * kPays[1]})
        advantages.insert(advantages.end(), index(steps), static_cast<float>(value));
    return advantages;
}

}  // namespace

TEST_CASE("the gradient of rollouts used again is in expectation that of fresh ones") {
    const CandidateSet arms = some_candidates(2, 3);
    const Draw draw{.rollouts = 2, .picks = 1, .seed = 5};
    for (const Head& head : heads()) {
        if (!head.exact) continue;
        INFO(head.name);
        const Policy then = make_policy(std::string(head.name), {3, 16, 1}, 10.0, 3);
        Policy now = some_policy(std::string(head.name), 3);
        for (float& parameter : now.parameters) parameter *= 0.5F;
        const ReplayMemory memory = both_arms(then, arms, draw);
        const auto q = probabilities(then, arms, draw), p = probabilities(now, arms, draw);
        CHECK(q[0] == Approx(0.5));
        CHECK(std::abs(p[0] - 0.5) > 0.02);
        CHECK(p[0] + p[1] == Approx(1.0).margin(1e-5));

        // Both arms were as likely, so the mean over them is the expectation.
        const Rollouts again = follow_memory(now, arms, draw, memory);
        std::vector<float> advantages = advantages_of_pays(1.0, 1.0, again.steps);
        weigh_by_importance(memory, again, advantages);
        std::vector<float> replayed(now.parameters.size()), fresh(replayed.size());
        head.add_gradient(now, arms, draw, again, {advantages, 0.0, {}}, replayed);
        // Fresh draws: each arm as often as the policy picks it; the mean over two halves it.
        const auto weighed = advantages_of_pays(2.0 * p[0], 2.0 * p[1], again.steps);
        head.add_gradient(now, arms, draw, again, {weighed, 0.0, {}}, fresh);
        double square = 0.0;
        for (std::size_t i = 0; i < fresh.size(); ++i) {
            CHECK(double{replayed[i]} == Approx(double{fresh[i]}).margin(1e-5));
            square += double{replayed[i]} * double{replayed[i]};
        }
        // And it is the slope of what a draw is worth: along itself, its own length.
        const double norm = std::sqrt(square), step = 1e-2;
        CHECK(norm > 0.01);
        const auto moved = [&](double by) {
            Policy other = now;
            for (std::size_t i = 0; i < replayed.size(); ++i) {
                other.parameters[i] += static_cast<float>(by * double{replayed[i]} / norm);
            }
            return expected_worth(other, arms, draw);
        };
        CHECK((moved(step) - moved(-step)) / (2.0 * step) == Approx(norm).epsilon(0.01));
    }
}

TEST_CASE("what is far likelier now than then counts twice at most") {
    ReplayMemory memory;
    memory.picks = {{0}, {1}, {0}};
    memory.log_probabilities = {std::log(0.1), std::log(0.8), std::log(0.4)};
    Rollouts now;
    now.log_probabilities = {std::log(0.9), std::log(0.2), std::log(0.6)};
    std::vector<float> advantages{1.0F, 10.0F, 1.0F, -8.0F, 2.0F, 4.0F};  // two steps each
    weigh_by_importance(memory, now, advantages);
    const std::vector<double> expected{2.0, 20.0, 0.25, -2.0, 3.0, 6.0};
    for (std::size_t i = 0; i < 6; ++i) CHECK(double{advantages[i]} == Approx(expected[i]));
}

TEST_CASE("a memory keeps the last rollouts, and reads back with the same bits") {
    const CandidateSet candidates = some_candidates(6, 2);
    const Policy policy = some_policy("walk", 2);
    ReplayMemory memory;
    const std::vector<double> worth{1.0, 2.0, 3.0, 4.0};
    std::vector<Rollouts> drawn;
    for (std::uint32_t update = 0; update < 3; ++update) {
        drawn.push_back(draw_batches(policy, candidates,
                                     {.rollouts = 4, .picks = 2, .seed = 1, .update = update}));
        memory.keep(drawn.back(), worth, 6);
    }
    REQUIRE(memory.size() == 6);
    CHECK(memory.metrics == std::vector<double>{3.0, 4.0, 1.0, 2.0, 3.0, 4.0});
    CHECK(memory.picks[0] == drawn[1].picks[2]);
    CHECK(memory.picks[5] == drawn[2].picks[3]);
    CHECK(std::vector<std::int32_t>(memory.orders.begin(), memory.orders.begin() + 6) ==
          std::vector<std::int32_t>(drawn[1].trace.orders.begin() + 12,
                                    drawn[1].trace.orders.begin() + 18));
    // The policy has not changed, so neither have the probabilities.
    const Rollouts again = follow_memory(policy, candidates, {.picks = 2}, memory);
    for (std::size_t k = 0; k < 6; ++k) {
        CHECK(again.log_probabilities[k] == Approx(memory.log_probabilities[k]).margin(1e-6));
    }
    TrainState state;
    memory.put_into(state, "replay/0/");
    ReplayMemory back;
    back.take_from(state, "replay/0/");
    CHECK(back.picks == memory.picks);
    CHECK(back.orders == memory.orders);
    CHECK(back.log_probabilities == memory.log_probabilities);
    CHECK(back.metrics == memory.metrics);
}
