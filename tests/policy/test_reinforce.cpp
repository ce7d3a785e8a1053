#include <cmath>

#include "src/policy/reinforce.hpp"
#include "tests/policy/policy_support.hpp"
#include "tests/support/catch.hpp"

using namespace thresher;
using namespace thresher::test;

namespace {

/// A metric that is a function of the subset.
class Formula final : public Metric {
  public:
    using Value = std::function<double(std::span<const std::int32_t>)>;
    explicit Formula(Value value) : value_(std::move(value)) {}

    std::string_view name() const override { return "accuracy"; }
    void evaluate(std::span<const std::int32_t> subsets, std::int64_t size,
                  std::span<double> values) override {
        for (std::size_t i = 0; i < values.size(); ++i) {
            values[i] = value_(subsets.subspan(i * index(size), index(size)));
        }
    }

  private:
    Value value_;
};

/// Two arms that their only feature tells apart.
CandidateSet two_arms() {
    CandidateSet arms;
    arms.rows = 2;
    arms.width = arms.dimensions = 1;
    arms.features = {1.0F, -1.0F};
    arms.places = arms.features;
    measure_distances(arms);
    return arms;
}

double probability_of_first(const Policy& policy, const CandidateSet& arms) {
    const Rollouts drawn = draw_batches(policy, arms, {.rollouts = 2000, .picks = 1, .seed = 77});
    double first = 0.0;
    for (const auto& picks : drawn.picks) first += picks[0] == 0 ? 1.0 : 0.0;
    return first / 2000.0;
}

ReinforceOptions short_training(std::int64_t picks) {
    ReinforceOptions options;
    options.picks = picks;
    options.updates = 100;
    options.seed = 3;
    return options;
}

Reinforce trained(const std::string& head, std::span<const TrainingEnvironment> environments,
                  const ReinforceOptions& options) {
    const PolicyShape shape{environments[0].candidates.width, 16,
                            find_head(head).outputs(options.picks)};
    Reinforce training(make_policy(head, shape, 10.0, 1), environments, options);
    while (!training.finished()) training.update();
    return training;
}

}  // namespace

TEST_CASE("every head learns which of two arms pays, with every baseline") {
    Formula first_pays([](auto subset) { return subset[0] == 0 ? 1.0 : 0.0; });
    Formula second_pays([](auto subset) { return subset[0] == 1 ? 1.0 : 0.0; });
    const TrainingEnvironment first[]{{"first", two_arms(), &first_pays}};
    const TrainingEnvironment second[]{{"second", two_arms(), &second_pays}};
    for (const Head& head : heads()) {
        if (!head.exact) continue;
        for (const Baseline& baseline : baselines()) {
            INFO(head.name << ", " << baseline.name);
            ReinforceOptions options = short_training(1);
            options.baseline = baseline.name;
            const std::string name(head.name);
            CHECK(probability_of_first(trained(name, first, options).policy(), two_arms()) > 0.95);
            CHECK(probability_of_first(trained(name, second, options).policy(), two_arms()) < 0.05);
        }
    }
}

TEST_CASE("every head learns which of two arms pays from rollouts that are used again") {
    Formula first_pays([](auto subset) { return subset[0] == 0 ? 1.0 : 0.0; });
    const TrainingEnvironment environments[]{{"first", two_arms(), &first_pays}};
    for (const Head& head : heads()) {
        if (!head.exact) continue;
        INFO(head.name);
        ReinforceOptions options = short_training(1);
        options.rollouts = 4;
        options.replay = 28;
        const Reinforce training = trained(std::string(head.name), environments, options);
        CHECK(probability_of_first(training.policy(), two_arms()) > 0.95);
    }
}

TEST_CASE("a stream learns to label what pays, and keeps to its budget") {
    CandidateSet candidates = some_candidates(20, 2);
    Formula paying([&](auto subset) {
        double sum = 0.0;
        for (const std::int32_t i : subset) sum += double{candidates.features[index(2 * i)]};
        return sum;
    });
    const TrainingEnvironment environments[]{{"stream", candidates, &paying}};
    ReinforceOptions options = short_training(5);
    options.updates = 300;
    const Reinforce training = trained("label-or-not", environments, options);
    const Rollouts drawn =
        draw_batches(training.policy(), candidates, {.rollouts = 200, .picks = 5, .seed = 9});
    double labels = 0.0, value = 0.0;
    for (const auto& picks : drawn.picks) {
        labels += static_cast<double>(picks.size()) / 200.0;
        for (const std::int32_t i : picks) value += double{candidates.features[index(2 * i)]};
    }
    CHECK(labels > 3.0);
    CHECK(labels < 8.0);
    CHECK(value / (200.0 * labels) > 0.5);  // a random candidate is worth 0
}

TEST_CASE("a stream comes back to the sizes that a table knows") {
    // Labels are worth more than their price, but of 20 candidates only batches of 3 to 8 are
    // known.
    const CandidateSet candidates = some_candidates(20, 2);
    Formula known([&](auto subset) {
        const auto size = std::ssize(subset);
        double sum = 0.0;
        for (const std::int32_t i : subset) sum += 10.0 + double{candidates.features[index(2 * i)]};
        return size < 3 || size > 8 ? std::nan("") : sum;
    });
    const TrainingEnvironment environments[]{{"stream", candidates, &known}};
    ReinforceOptions options = short_training(5);
    options.updates = 300;
    const Reinforce training = trained("label-or-not", environments, options);
    const Rollouts drawn =
        draw_batches(training.policy(), candidates, {.rollouts = 200, .picks = 5, .seed = 9});
    const auto inside =
        std::count_if(drawn.picks.begin(), drawn.picks.end(),
                      [](const auto& picks) { return picks.size() >= 3 && picks.size() <= 8; });
    CHECK(inside > 150);
}

TEST_CASE("the sequential head learns not to pick copies, by their distance alone") {
    // Ten pairs of copies: a batch is worth the number of different pairs in it.
    CandidateSet candidates;
    candidates.rows = 20;
    candidates.width = 1;
    candidates.features = normals(20, 4);  // tell nothing
    candidates.dimensions = 2;
    const std::vector<float> places = normals(20, 5);
    for (std::int64_t i = 0; i < 20; ++i) {
        candidates.places.push_back(places[index(i / 2 * 2)]);
        candidates.places.push_back(places[index(i / 2 * 2 + 1)]);
    }
    measure_distances(candidates);
    Formula different([](auto subset) {
        std::vector<bool> met(10);
        double count = 0.0;
        for (const std::int32_t i : subset) {
            count += met[index(i / 2)] ? 0.0 : 1.0;
            met[index(i / 2)] = true;
        }
        return count;
    });
    const TrainingEnvironment environments[]{{"copies", candidates, &different}};
    const Reinforce training = trained("sequential", environments, short_training(6));
    const Rollouts drawn =
        draw_batches(training.policy(), candidates, {.rollouts = 100, .picks = 6, .seed = 9});
    double sum = 0.0;
    for (const auto& picks : drawn.picks) {
        std::vector<double> value(1);
        different.evaluate(picks, 6, value);
        sum += value[0] / 100.0;
    }
    CHECK(sum > 5.8);  // 5 by chance
    CHECK(training.curves().at("gain").back() > 0.5);
}

TEST_CASE("a training that goes on from its state ends with the same bits") {
    CandidateSet candidates = some_candidates(12, 3);
    Formula sum([&](auto subset) {
        double value = 0.0;
        for (const std::int32_t i : subset) value += double{candidates.features[index(3 * i)]};
        return value;
    });
    const std::vector<TrainingEnvironment> environments{{"a", candidates, &sum},
                                                        {"b", some_candidates(9, 3, 8), &sum}};
    for (const Head& head : heads()) {
        INFO(head.name);
        ReinforceOptions options = short_training(3);
        options.updates = 30;
        options.baseline = "value";
        options.replay = 48;  // of one update and a half
        const std::string name(head.name);
        const Reinforce whole = trained(name, environments, options);
        const PolicyShape shape{3, 16, head.outputs(3)};
        Reinforce first(make_policy(name, shape, 10.0, 1), environments, options);
        for (int i = 0; i < 13; ++i) first.update();
        Reinforce second(make_policy(name, shape, 10.0, 55), environments, options);
        second.import_state(first.export_state());
        while (!second.finished()) second.update();
        CHECK(second.export_state() == whole.export_state());
        CHECK(second.policy().parameters == whole.policy().parameters);
    }
}

TEST_CASE("proposals reach the refresh, and rewards are told by the metric it left") {
    double scale = 1.0;
    Formula scaled([&](auto subset) { return scale * subset[0]; });
    const TrainingEnvironment environments[]{{"ten", some_candidates(10, 2), &scaled}};
    ReinforceOptions options = short_training(2);
    options.updates = 30;
    options.refresh_every = 10;
    std::vector<std::int64_t> calls;
    Reinforce training(make_policy("sequential", {2, 16, 1}, 10.0, 1), environments, options,
                       [&](std::int64_t update, std::size_t,
                           std::span<const std::int32_t> batches) -> std::optional<RefreshReport> {
                           calls.push_back(update);
                           CHECK(batches.size() == 2 * 32);
                           scale = 1000.0;
                           return RefreshReport{1.0, 0.5, 3.0, 2.0};
                       });
    while (!training.finished()) training.update();
    CHECK(calls == std::vector<std::int64_t>{10, 20});
    CHECK(training.curves().at("predicted") == std::vector<double>{1.0, 1.0});
    // In units of random batches of the same metric.
    CHECK(std::abs(training.curves().at("gain")[10]) < 5.0);
}

TEST_CASE("what is retrained is told in units of what is retrained, however estimates shrink") {
    // Estimates are half as far from the mean as the truth: proposals that are retrained to two
    // deviations of random batches above their mean are no four.
    const auto truth = [](std::int32_t first) { return 5.0 + first; };  // of 0 to 9
    Formula estimate([&](auto subset) { return 9.5 + 0.5 * (truth(subset[0]) - 9.5); });
    const TrainingEnvironment environments[]{{"ten", some_candidates(10, 2), &estimate}};
    ReinforceOptions options = short_training(1);
    options.updates = 11;
    options.refresh_every = 10;
    const double deviation = std::sqrt(99.0 / 12.0);  // of 0 to 9
    Reinforce training(make_policy("sequential", {2, 16, 1}, 10.0, 1), environments, options,
                       [&](std::int64_t, std::size_t,
                           std::span<const std::int32_t>) -> std::optional<RefreshReport> {
                           RefreshReport report;
                           report.retrained = 9.5 + 2.0 * deviation;
                           report.random = {9.5, deviation};
                           return report;
                       });
    while (!training.finished()) training.update();
    REQUIRE(training.curves().at("retrained_gain").size() == 1);
    CHECK(training.curves().at("retrained_gain")[0] == Approx(2.0));
}

TEST_CASE("batches without a metric are passed over") {
    Formula some([](auto subset) {
        return subset[0] == 0 ? std::nan("") : static_cast<double>(subset[0] == 1);
    });
    const TrainingEnvironment environments[]{{"some", some_candidates(4, 2), &some}};
    const Reinforce training = trained("sequential", environments, short_training(1));
    for (const double reward : training.curves().at("reward")) CHECK(std::isfinite(reward));
    CHECK(training.curves().at("reward").back() > 0.9);
    Formula none([](auto) { return std::nan(""); });
    const TrainingEnvironment without[]{{"none", some_candidates(4, 2), &none}};
    CHECK_THROWS_AS(trained("sequential", without, short_training(1)), Error);
}

TEST_CASE("equal metrics everywhere are no signal, which is said before training") {
    Formula same([](auto) { return 0.25; });
    const TrainingEnvironment environments[]{{"same", some_candidates(4, 2), &same}};
    CHECK_THROWS_WITH(trained("walk", environments, short_training(2)),
                      contains("all of 32 random batches of 2 have the same accuracy (0.25)"));
}

TEST_CASE("a training goes on from its state where a refresh has made all estimates equal") {
    bool flat = false;
    Formula refitted([&](auto subset) { return flat ? 0.25 : static_cast<double>(subset[0]); });
    const TrainingEnvironment environments[]{{"one", some_candidates(6, 2), &refitted}};
    const ReinforceOptions options = short_training(2);
    const PolicyShape shape{2, 16, find_head("walk").outputs(2)};
    Reinforce first(make_policy("walk", shape, 10.0, 1), environments, options);
    for (int i = 0; i < 3; ++i) first.update();
    flat = true;
    Reinforce second(make_policy("walk", shape, 10.0, 1), environments, options);
    second.import_state(first.export_state());
    CHECK_NOTHROW(second.update());
}

TEST_CASE("signatures of failure are told once, with the number that shows them") {
    std::vector<std::string> reported;
    Curves curves;
    curves["gain"] = std::vector<double>(60, 0.1);
    CHECK(new_signatures(curves, 200, reported).empty());  // too early to say
    const auto stalls = new_signatures(curves, 100, reported);
    REQUIRE(stalls.size() == 1);
    CHECK_THAT(stalls[0], contains("reward stalls: the reward is +0.10"));
    CHECK(new_signatures(curves, 100, reported).empty());  // once

    reported.clear();
    curves["gain"] = std::vector<double>(60, 2.0);
    CHECK(new_signatures(curves, 100, reported).empty());  // it learned within the first updates
    reported = {"reward stalls"};

    curves.clear();
    curves["estimate_error"] = {9.0, 2.0, 2.0, 2.0, 2.0};
    curves["retrained_spread"] = {1.5, 1.5, 1.5, 1.5, 1.5};
    CHECK(new_signatures(curves, 100, reported).empty());  // refreshes may yet mend it
    curves["estimate_error"].push_back(std::nan(""));      // nothing new was proposed
    curves["retrained_spread"].push_back(9.0);
    CHECK(new_signatures(curves, 100, reported).empty());
    curves["estimate_error"].push_back(2.0);
    curves["retrained_spread"].push_back(1.5);
    CHECK_THAT(new_signatures(curves, 100, reported).at(0),
               contains("estimates are off by 2 (root mean square), and rewards differ by 1.5"));

    curves = {{"hard_share", std::vector<double>(30, 0.99)},
              {"easy_share", std::vector<double>(30, 0.01)}};
    const auto hard = new_signatures(curves, 100, reported);
    REQUIRE(hard.size() == 1);
    CHECK_THAT(hard[0], contains("picks all hard: 99 % of the picks"));

    curves = {{"entropy", {1.0, 0.5, 0.01}}};
    CHECK_THAT(new_signatures(curves, 100, reported).at(0),
               contains("after 3 of 100 updates the entropy is 1.0 %"));

    curves = {{"gradient_norm", std::vector<double>(25, 0.5)}};
    CHECK(new_signatures(curves, 100, reported).empty());
    curves["gradient_norm"].push_back(80.0);
    CHECK_THAT(new_signatures(curves, 100, reported).at(0), contains("160 times"));
    reported.clear();
    curves["gradient_norm"].push_back(std::nan(""));
    CHECK_THAT(new_signatures(curves, 100, reported).at(0), contains("is not finite"));
}

TEST_CASE("a gradient that is not finite for ten updates ends the training") {
    CandidateSet candidates = some_candidates(6, 2);
    Formula first([](auto subset) { return static_cast<double>(subset[0]); });
    candidates.features[3] = std::numeric_limits<float>::infinity();
    const TrainingEnvironment environments[]{{"odd", candidates, &first}};
    CHECK_THROWS_WITH(trained("sequential", environments, short_training(2)),
                      contains("has not been finite for 10 updates"));
}

TEST_CASE("options of a training that are out of range are refused") {
    ReinforceOptions options = short_training(2);
    for (const Baseline& baseline : baselines()) {
        options.baseline = baseline.name;
        options.rollouts = 1;
        CHECK_THROWS_WITH(check_options(options),
                          contains("rollouts of an update is 1; rewards are told by how they "
                                   "differ, so 2 are the fewest"));
        options.rollouts = 2;
        CHECK_NOTHROW(check_options(options));
    }
    options = short_training(2);
    options.baseline = "median";
    CHECK_THROWS_AS(check_options(options), UsageError);
}
