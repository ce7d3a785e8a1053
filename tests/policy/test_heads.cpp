#include <cmath>
#include <map>
#include <numeric>
#include <tuple>

#include "src/policy/heads/laws.hpp"
#include "tests/policy/policy_support.hpp"
#include "tests/support/catch.hpp"

using namespace thresher;
using namespace thresher::test;

namespace {

constexpr std::int64_t kRows = 5, kPicks = 2;

/// exp of the log-probability of picks under a policy, in the orders that `draw` gives.
double probability(const Policy& policy, const CandidateSet& candidates, const Draw& draw,
                   const std::vector<std::int32_t>& picks) {
    Rollouts rollouts;
    rollouts.picks = {picks};
    rollouts.trace.orders = shuffled_orders(candidates.rows, draw);
    follow_batches(policy, candidates, draw, rollouts);
    return std::exp(rollouts.log_probabilities[0]);
}

/// The batches that a head can pick, as it orders them.
std::vector<std::vector<std::int32_t>> all_batches(const Head& head) {
    std::vector<std::vector<std::int32_t>> batches;
    const bool ordered = head.steps(kRows, kPicks) == kPicks;
    for_each_subset(kRows, head.exact ? kPicks : -1, [&](const auto& subset) {
        if (!subset.empty()) batches.push_back(subset);
        if (ordered) batches.push_back({subset[1], subset[0]});
    });
    return batches;
}

std::int64_t outputs_of(const Head& head) { return head.outputs(kPicks); }

}  // namespace

TEST_CASE("every head begins as the uniform law over all batches") {
    const CandidateSet candidates = some_candidates(kRows, 3);
    for (const Head& head : heads()) {
        INFO(head.name);
        const Policy policy =
            make_policy(std::string(head.name), {3, 16, outputs_of(head)}, 10.0, 5);
        const auto batches = all_batches(head);
        for (const auto& batch : batches) {
            const double p = probability(policy, candidates, {.picks = kPicks, .seed = 2}, batch);
            if (head.exact) {
                CHECK(p == Approx(1.0 / static_cast<double>(batches.size())));
                continue;
            }
            // Each with probability 2 / 5; the last one met is labelled where none was before.
            const auto labels = static_cast<double>(batch.size());
            const auto last = shuffled_orders(kRows, {.picks = kPicks, .seed = 2}).back();
            const double forced = batch == std::vector{last} ? std::pow(0.6, 5.0) : 0.0;
            CHECK(p == Approx(std::pow(0.4, labels) * std::pow(0.6, 5.0 - labels) + forced));
        }
    }
}

TEST_CASE("the probabilities of all batches add up to 1 for any parameters") {
    const CandidateSet candidates = some_candidates(kRows, 3);
    for (const Head& head : heads()) {
        INFO(head.name);
        const Policy policy = some_policy(std::string(head.name), 3, outputs_of(head));
        double sum = 0.0, largest = 0.0;
        for (const auto& batch : all_batches(head)) {
            const double p = probability(policy, candidates, {.picks = kPicks, .seed = 2}, batch);
            sum += p;
            largest = std::max(largest, p);
        }
        CHECK(sum == Approx(1.0));
        if (head.exact) CHECK(largest > 1.5 / static_cast<double>(all_batches(head).size()));
    }
}

TEST_CASE("batches are drawn as often as their probability says") {
    const CandidateSet candidates = some_candidates(kRows, 3);
    constexpr std::int64_t kDraws = 20000;
    for (const Head& head : heads()) {
        INFO(head.name);
        const Policy policy = some_policy(std::string(head.name), 3, outputs_of(head));
        // One order for all rollouts, so that one law holds for them.
        const std::vector<std::int32_t> order =
            shuffled_orders(kRows, {.picks = kPicks, .seed = 2});
        std::map<std::vector<std::int32_t>, std::int64_t> drawn;
        std::int64_t same_order = 0;
        const Draw draw{.rollouts = kDraws, .picks = kPicks, .seed = 2, .update = 3};
        const Rollouts rollouts = draw_batches(policy, candidates, draw);
        const bool walks = head.steps(kRows, kPicks) == kRows;
        const bool sweeps = !rollouts.trace.orders.empty();
        for (std::int64_t k = 0; k < kDraws; ++k) {
            if (sweeps && !std::equal(order.begin(), order.end(),
                                      rollouts.trace.orders.begin() + k * kRows)) {
                continue;
            }
            auto picks = rollouts.picks[index(k)];
            if (walks) std::sort(picks.begin(), picks.end());
            ++drawn[picks];
            ++same_order;
        }
        REQUIRE(same_order > 100);
        for (const auto& batch : all_batches(head)) {
            const double p = probability(policy, candidates, {.picks = kPicks, .seed = 2}, batch);
            const auto count = static_cast<double>(same_order);
            CHECK(std::abs(static_cast<double>(drawn[batch]) - count * p) <=
                  5.0 * std::sqrt(count * p * (1.0 - p)) + 1.0);
        }
    }
}

TEST_CASE("the gradient of every head is that of its log-probability, entropy and values") {
    const CandidateSet candidates = some_candidates(9, 4);
    for (const Head& head : heads()) {
        INFO(head.name);
        const Draw draw{.rollouts = 3, .picks = 3, .seed = 4};
        Policy policy = some_policy(std::string(head.name), 4, head.outputs(3));
        const Rollouts drawn = draw_batches(policy, candidates, draw);
        const std::vector<float> advantages{0.7F, -1.2F, 0.4F};
        std::vector<float> weights, errors;
        for (const float advantage : advantages) {
            weights.insert(weights.end(), index(drawn.steps), advantage);
        }
        for (const float value : drawn.values) errors.push_back(0.5F - value);
        const double entropy = 0.3;
        // sum over rollouts of advantage log p + entropy H - (0.5 - value)^2 / 2, and without value
        const auto objective = [&](const Policy& at_policy, bool with_values) {
            Rollouts rollouts;
            rollouts.picks = drawn.picks;
            rollouts.trace.orders = drawn.trace.orders;
            follow_batches(at_policy, candidates, draw, rollouts);
            double sum = 0.0;
            for (std::size_t k = 0; k < 3; ++k) {
                sum += double{advantages[k]} * rollouts.log_probabilities[k] +
                       entropy * rollouts.entropies[k];
            }
            for (const float value : rollouts.values) {
                if (with_values) sum -= 0.5 * std::pow(0.5 - double{value}, 2.0);
            }
            return sum / 3.0;
        };
        std::vector<float> gradient(policy.parameters.size()), with_values(gradient);
        head.add_gradient(policy, candidates, draw, drawn, {weights, entropy, {}}, gradient);
        head.add_gradient(policy, candidates, draw, drawn, {weights, entropy, errors}, with_values);

        // Along random directions within each part, which see every component of a slope.
        const auto slopes = parts_of(policy.shape, std::span(gradient));
        const auto parts = parts_of(policy.shape, std::span(policy.parameters));
        const std::tuple<const char*, std::span<float>, std::span<float>> pairs[]{
            {"features", parts.features, slopes.features},
            {"step", parts.step, slopes.step},
            {"recurrent", parts.recurrent, slopes.recurrent},
            {"bias", parts.bias, slopes.bias},
            {"output", parts.output, slopes.output},
            {"output_bias", parts.output_bias, slopes.output_bias}};
        for (const auto& [name, part, slope] : pairs) {
            INFO(name);
            double square = 0.0;
            for (const float s : slope) square += double{s} * double{s};
            CHECK(square > 1e-6);  // every part moves every head
            const std::vector<float> before(part.begin(), part.end());
            for (std::uint64_t seed = 20; seed < 24; ++seed) {
                const std::vector<float> direction = normals(std::ssize(part), seed);
                double expected = 0.0;
                for (std::size_t i = 0; i < part.size(); ++i) {
                    expected += double{slope[i]} * double{direction[i]};
                }
                constexpr double kStep = 1e-3;
                const auto moved = [&](double step) {
                    for (std::size_t i = 0; i < part.size(); ++i) {
                        part[i] =
                            static_cast<float>(double{before[i]} + step * double{direction[i]});
                    }
                    const double value = objective(policy, false);
                    std::copy(before.begin(), before.end(), part.begin());
                    return value;
                };
                CHECK((moved(kStep) - moved(-kStep)) / (2.0 * kStep) ==
                      Approx(expected).epsilon(5e-3).margin(5e-4 + 2e-3 * std::sqrt(square)));
            }
        }
        // Values move their own parameters alone.
        const auto value_slopes = parts_of(policy.shape, std::span(with_values));
        const std::size_t others = gradient.size() - value_slopes.value.size() - 1;
        CHECK(std::equal(gradient.begin(), gradient.begin() + static_cast<std::ptrdiff_t>(others),
                         with_values.begin()));
        constexpr float kStep = 1e-2F;
        parts.value_bias[0] += kStep;
        const double above = objective(policy, true);
        parts.value_bias[0] -= 2 * kStep;
        const double below = objective(policy, true);
        CHECK((above - below) / (2.0 * double{kStep}) ==
              Approx(value_slopes.value_bias[0]).epsilon(1e-3));
    }
}

TEST_CASE("the most probable batch is picked where it is asked for") {
    const CandidateSet candidates = some_candidates(6, 3);
    for (const Head& head : heads()) {
        if (!head.likeliest) continue;
        INFO(head.name);
        const Policy policy = some_policy(std::string(head.name), 3, head.outputs(1));
        const Draw draw{.picks = 1, .seed = 2, .likeliest = true};
        const auto best = draw_batches(policy, candidates, draw).picks[0];
        for (std::int32_t i = 0; i < 6; ++i) {
            CHECK(probability(policy, candidates, draw, {i}) <=
                  probability(policy, candidates, draw, best) + 1e-9);
        }
    }
}

TEST_CASE("rollouts, updates and seeds have orders of their own") {
    const auto orders = shuffled_orders(50, {.rollouts = 2, .seed = 1});
    std::vector<std::int32_t> first(orders.begin(), orders.begin() + 50);
    CHECK(first != std::vector<std::int32_t>(orders.begin() + 50, orders.end()));
    CHECK(first != shuffled_orders(50, {.seed = 1, .update = 1}));
    CHECK(first != shuffled_orders(50, {.seed = 2}));
    CHECK(first == shuffled_orders(50, {.seed = 1}));
    std::sort(first.begin(), first.end());
    std::vector<std::int32_t> all(50);
    std::iota(all.begin(), all.end(), 0);
    CHECK(first == all);
}

TEST_CASE("operations are those of the products, counted by hand") {
    const CandidateSet candidates = some_candidates(5, 3);
    const Draw draw{.rollouts = 7, .picks = 2};
    // Features of 5 candidates, shared by all rollouts: [5, 3] by [3, 64].
    const double features = 2.0 * 5 * 3 * 64;
    // A candidate: its 4 step inputs by [4, 64], and the output, 16 by 1. A state: by [16, 64], and
    // its value, 16 by 1. Two picks try 5 candidates and then 4, from one state each.
    const double candidate = 2.0 * (4 * 64 + 16), state = 2.0 * (16 * 64 + 16);
    CHECK(flops_of(some_policy("sequential", 3), candidates, draw) ==
          features + 7 * (9 * candidate + 2 * state));
    // A walk makes a step for each of the 5, whatever is picked; with two outputs, one more.
    CHECK(flops_of(some_policy("walk", 3), candidates, draw) ==
          features + 7 * 5 * (candidate + state));
    CHECK(flops_of(some_policy("batch", 3, 2), candidates, draw) ==
          features + 7 * 5 * (candidate + state + 2.0 * 16));
}

TEST_CASE("random batches that are larger than the set, or empty, are refused") {
    for (const std::int64_t picks : {0, 6}) {
        CHECK_THROWS_AS(random_batches(5, {.rollouts = 3, .picks = picks}), UsageError);
    }
    CHECK(random_batches(5, {.rollouts = 3, .picks = 5}).size() == 15);
}

TEST_CASE("a batch larger than the set, empty, or beyond the policy's outputs is refused") {
    const CandidateSet candidates = some_candidates(5, 3);
    const Policy policy = some_policy("batch", 3, 2);
    CHECK_THROWS_WITH(draw_batches(policy, candidates, {.picks = 6}),
                      contains("a batch of 6 is to be picked from 5 candidates"));
    CHECK_THROWS_WITH(draw_batches(policy, candidates, {.picks = 0}), contains("a batch of 0"));
    CHECK_THROWS_WITH(draw_batches(policy, candidates, {.picks = 3}),
                      contains("was trained for batches of 2, but 3 are to be picked"));
    CandidateSet many;
    many.rows = 70000;
    many.width = 1;
    const Policy wide = make_policy("batch", {1, 16, 65537}, 10.0, 1);
    CHECK_NOTHROW(check_draw(find_head("batch"), wide, many, 65536));
    CHECK_THROWS_WITH(check_draw(find_head("batch"), wide, many, 65537),
                      contains("keys its noise by the pick, 65536 at most"));
    CHECK_THROWS_WITH(find_head("greedy"), contains("known: sequential, walk"));
    CHECK_THROWS_WITH(draw_batches(policy, some_candidates(5, 4), {.picks = 2}),
                      contains("reads 3 features of a candidate, but there are 4"));
    CHECK_THROWS_WITH(make_policy("walk", {3, 20, 1}, 10.0, 1), contains("multiples of 16"));
}
