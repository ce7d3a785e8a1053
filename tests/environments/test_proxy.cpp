#include <cmath>
#include <numeric>

#include "src/base/check.hpp"
#include "src/base/thread_team.hpp"
#include "src/environments/environments.hpp"
#include "src/environments/points/point_proxy.hpp"
#include "src/random/permutation.hpp"
#include "tests/support/catch.hpp"

using namespace thresher;
using thresher::test::contains;

namespace {

std::vector<std::int32_t> random_subsets(std::int64_t count, std::int64_t size,
                                         std::int64_t candidates) {
    std::vector<std::int32_t> subsets;
    for (std::int64_t i = 0; i < count; ++i) {
        const KeyedPermutation order(candidates, 11, Stream::synthetic,
                                     static_cast<std::uint32_t>(i));
        for (std::int64_t j = 0; j < size; ++j) {
            subsets.push_back(static_cast<std::int32_t>(order(j)));
        }
    }
    return subsets;
}

std::vector<ProxyOptions> every_proxy() {
    std::vector<ProxyOptions> all;
    for (const auto supervision :
         {Supervision::supervised, Supervision::pseudo_label, Supervision::mean_teacher}) {
        for (const std::int64_t hidden : {0, 5}) {
            ProxyOptions options;
            options.learner.supervision = supervision;
            options.learner.hidden = hidden;
            options.learner.steps = 20;
            options.repeats = hidden > 0 ? 2 : 1;
            options.seed = 3;
            all.push_back(options);
            options.warm_steps = 7;
            all.push_back(options);
        }
    }
    return all;
}

/// Softmax regression or a perceptron by Adam, in double and one row after the other: what the
/// learner is, written down without lanes.
class Plain {
  public:
    Plain(const Environment& environment, const LearnerOptions& options)
        : environment_(environment), options_(options) {}

    /// {accuracy, mean log-likelihood} on the reward points from weights at 0.
    std::pair<double, double> evaluate(std::span<const std::int32_t> subset) const {
        const auto d = static_cast<std::size_t>(environment_.dimensions);
        const auto classes = static_cast<std::size_t>(environment_.classes);
        std::vector<double> w((d + 1) * classes, 0.0), first(w), second(w), teacher(w);
        std::vector<std::pair<const Points*, std::size_t>> rows;
        for (std::int64_t i = 0; i < environment_.labelled.rows; ++i) {
            rows.emplace_back(&environment_.labelled, static_cast<std::size_t>(i));
        }
        for (const std::int32_t i : subset) {
            rows.emplace_back(&environment_.candidates, static_cast<std::size_t>(i));
        }
        for (std::int64_t step = 0; step < options_.steps; ++step) {
            std::vector<double> gradient(w.size(), 0.0);
            for (const auto& [points, row] : rows) {
                std::vector<double> p = probabilities(w, *points, row);
                p[static_cast<std::size_t>(points->targets[row])] -= 1.0;
                for (std::size_t j = 0; j <= d; ++j) {
                    for (std::size_t c = 0; c < classes; ++c) {
                        gradient[j * classes + c] +=
                            input(*points, row, j) * p[c] / static_cast<double>(rows.size());
                    }
                }
            }
            add_candidates(w, teacher, subset, step, gradient);
            const double t = static_cast<double>(step + 1);
            const double rate =
                options_.learning_rate *
                (1.0 - static_cast<double>(step) / static_cast<double>(options_.steps));
            for (std::size_t i = 0; i < w.size(); ++i) {
                double g = gradient[i];
                if (i < d * classes) g += options_.weight_decay * w[i];
                first[i] = 0.9 * first[i] + 0.1 * g;
                second[i] = 0.999 * second[i] + 0.001 * g * g;
                w[i] -= rate * first[i] / (1.0 - std::pow(0.9, t)) /
                        (std::sqrt(second[i] / (1.0 - std::pow(0.999, t))) + 1e-8);
            }
            const double decay = std::min(options_.teacher_decay, 1.0 - 1.0 / t);
            for (std::size_t i = 0; i < w.size(); ++i) {
                teacher[i] = decay * teacher[i] + (1.0 - decay) * w[i];
            }
        }
        if (options_.supervision == Supervision::mean_teacher) w = teacher;
        double right = 0.0, likelihood = 0.0;
        for (std::int64_t i = 0; i < environment_.reward.rows; ++i) {
            const auto row = static_cast<std::size_t>(i);
            const std::vector<double> p = probabilities(w, environment_.reward, row);
            const auto target = static_cast<std::size_t>(environment_.reward.targets[row]);
            right += std::max_element(p.begin(), p.end()) - p.begin() ==
                             static_cast<std::ptrdiff_t>(target)
                         ? 1.0
                         : 0.0;
            likelihood += std::log(p[target]);
        }
        const double n = static_cast<double>(environment_.reward.rows);
        return {right / n, likelihood / n};
    }

  private:
    /// What the candidates outside the subset add to the gradient; their inputs have no noise.
    void add_candidates(const std::vector<double>& w, const std::vector<double>& teacher,
                        std::span<const std::int32_t> subset, std::int64_t step,
                        std::vector<double>& gradient) const {
        if (options_.supervision == Supervision::supervised) return;
        const auto classes = static_cast<std::size_t>(environment_.classes);
        const double t = std::min(
            1.0, static_cast<double>(step) / (options_.ramp * static_cast<double>(options_.steps)));
        const double weight = options_.consistency * std::exp(-5.0 * (1.0 - t) * (1.0 - t)) /
                              static_cast<double>(environment_.candidates.rows);
        for (std::int32_t i = 0; i < environment_.candidates.rows; ++i) {
            if (std::find(subset.begin(), subset.end(), i) != subset.end()) continue;
            const auto row = static_cast<std::size_t>(i);
            const std::vector<double> p = probabilities(w, environment_.candidates, row);
            const std::vector<double> q = probabilities(teacher, environment_.candidates, row);
            const auto best = std::max_element(p.begin(), p.end());
            std::vector<double> by(classes, 0.0);
            if (options_.supervision == Supervision::pseudo_label) {
                if (*best < options_.threshold) continue;
                by = p;
                by[static_cast<std::size_t>(best - p.begin())] -= 1.0;
            } else {  // by each logit of the squared distance of p and q
                for (std::size_t c = 0; c < classes; ++c) {
                    for (std::size_t k = 0; k < classes; ++k) {
                        by[c] += 2.0 * (p[k] - q[k]) * p[k] * ((k == c ? 1.0 : 0.0) - p[c]);
                    }
                }
            }
            for (std::size_t j = 0; j <= static_cast<std::size_t>(environment_.dimensions); ++j) {
                for (std::size_t c = 0; c < classes; ++c) {
                    gradient[j * classes + c] +=
                        weight * input(environment_.candidates, row, j) * by[c];
                }
            }
        }
    }

    double input(const Points& points, std::size_t row, std::size_t j) const {
        const auto d = static_cast<std::size_t>(environment_.dimensions);
        return j == d ? 1.0 : double{points.features[row * d + j]};
    }
    std::vector<double> probabilities(const std::vector<double>& w, const Points& points,
                                      std::size_t row) const {
        const auto classes = static_cast<std::size_t>(environment_.classes);
        std::vector<double> p(classes, 0.0);
        for (std::size_t j = 0; j <= static_cast<std::size_t>(environment_.dimensions); ++j) {
            for (std::size_t c = 0; c < classes; ++c) {
                p[c] += input(points, row, j) * w[j * classes + c];
            }
        }
        double sum = 0.0;
        for (double& value : p) sum += value = std::exp(value);
        for (double& value : p) value /= sum;
        return p;
    }

    const Environment& environment_;
    const LearnerOptions& options_;
};

}  // namespace

TEST_CASE("the learner in lanes is the learner written down plainly", "[proxy]") {
    const Environment environment = make_environment({.candidates = 40, .reward = 200}, 1);
    for (const auto supervision :
         {Supervision::supervised, Supervision::pseudo_label, Supervision::mean_teacher}) {
        ProxyOptions options;
        options.learner.supervision = supervision;
        options.learner.steps = 60;
        options.learner.threshold = 0.6;
        options.learner.noise = 0.0;
        options.learner.consistency = 3.0;
        const PointProxy proxy(environment, options);
        const auto subsets = random_subsets(20, 6, 40);
        std::vector<double> metrics(40);
        proxy.evaluate(subsets, 6, Part::reward, metrics);
        const Plain plain(environment, options.learner);
        for (std::size_t q = 0; q < 20; ++q) {
            const auto [accuracy, likelihood] =
                plain.evaluate(std::span(subsets).subspan(6 * q, 6));
            CHECK(metrics[2 * q] == Approx(accuracy).margin(0.011));  // two points at a boundary
            CHECK(metrics[2 * q + 1] == Approx(likelihood).epsilon(1e-3));
        }
    }
}

TEST_CASE("a subset alone is worth what it is worth among others", "[proxy]") {
    const Environment environment = make_environment({.candidates = 50, .reward = 100}, 2);
    for (const ProxyOptions& options : every_proxy()) {
        const PointProxy proxy(environment, options);
        const auto r = static_cast<std::size_t>(options.repeats);
        const auto subsets = random_subsets(37, 4, 50);
        std::vector<double> together(37 * 2 * r), alone(2 * r);
        use_threads(2);
        proxy.evaluate(subsets, 4, Part::reward, together);
        use_threads(1);
        for (std::size_t q = 0; q < 37; ++q) {
            proxy.evaluate(std::span(subsets).subspan(4 * q, 4), 4, Part::reward, alone);
            for (std::size_t i = 0; i < 2 * r; ++i) CHECK(alone[i] == together[2 * r * q + i]);
        }
        // Places without a candidate change nothing either.
        std::vector<std::int32_t> padded{-1, subsets[0], subsets[1], -1, subsets[2], subsets[3]};
        proxy.evaluate(std::span(subsets).first(4), 4, Part::reward, alone);
        std::vector<double> of_padded(2 * r);
        proxy.evaluate(padded, 6, Part::reward, of_padded);
        CHECK(of_padded == alone);
    }
}

TEST_CASE("every episode begins at the same place", "[proxy]") {
    const Environment environment = make_environment({.candidates = 30, .reward = 100}, 3);
    for (const ProxyOptions& options : every_proxy()) {
        const PointProxy proxy(environment, options);
        ProxyMetric metric(proxy, "negative-loss", Part::reward);
        const auto episode = [&] {
            std::vector<double> rewards;
            for (const auto& subsets : {random_subsets(3, 5, 30), random_subsets(8, 2, 30)}) {
                std::vector<double> values(subsets.size() == 15 ? 3 : 8);
                metric.evaluate(subsets, subsets.size() == 15 ? 5 : 2, values);
                rewards.insert(rewards.end(), values.begin(), values.end());
            }
            return rewards;
        };
        const auto first = episode();
        CHECK(episode() == first);
        const PointProxy again(environment, options);
        ProxyMetric same(again, "negative-loss", Part::reward);
        std::vector<double> values(3);
        same.evaluate(random_subsets(3, 5, 30), 5, values);
        CHECK(std::equal(values.begin(), values.end(), first.begin()));
    }
}

TEST_CASE("a warm retraining goes on from the learner of the labelled set", "[proxy]") {
    const Environment environment = make_environment({.candidates = 30, .reward = 300}, 3);
    const std::vector<std::int32_t> batch{4, 11, 23};
    const auto loss = [&](std::int64_t steps, std::int64_t warm_steps,
                          std::span<const std::int32_t> subset, double rate = 0.1) {
        ProxyOptions options;
        options.learner.steps = steps;
        options.learner.learning_rate = rate;
        options.learner.weight_decay = 0.05;  // so that there is one best learner, soon reached
        options.warm_steps = warm_steps;
        const PointProxy proxy(environment, options);
        std::vector<double> value(1);
        proxy.evaluate_mean(subset, std::ssize(subset), Part::reward, 1, value);
        return value[0];
    };
    // Softmax regression is convex: wherever it begins, it ends at the same place.
    CHECK(loss(3000, 3000, batch) == Approx(loss(3000, 0, batch)).margin(1e-4));
    // Steps so short that nothing moves leave it at what was learned before.
    CHECK(std::abs(loss(3000, 1, batch) - loss(3000, 0, {})) <
          0.5 * std::abs(loss(3000, 0, batch) - loss(3000, 0, {})));
    CHECK(loss(1, 1, batch, 1e-12) == Approx(-std::log(4.0)));
}

TEST_CASE("a proxy with a hidden layer learns what one without cannot", "[proxy]") {
    // The classes take turns on the ring, so no line through the plane tells them apart.
    const Environment environment =
        make_environment({.candidates = 200, .labelled = 150, .reward = 500}, 4);
    ProxyOptions options;
    const auto accuracy = [&](std::int64_t hidden) {
        options.learner.hidden = hidden;
        options.learner.steps = 300;
        const PointProxy proxy(environment, options);
        std::vector<double> metrics(2);
        proxy.evaluate({}, 0, Part::test, metrics);
        return metrics[0];
    };
    CHECK(accuracy(0) < 0.6);
    CHECK(accuracy(32) > 0.8);
}

TEST_CASE("predictions are those that the metrics were taken from", "[proxy]") {
    const Environment environment = make_environment({.candidates = 30, .reward = 100}, 5);
    for (const ProxyOptions& options : every_proxy()) {
        const PointProxy proxy(environment, options);
        const std::vector<std::int32_t> subset{4, 9, 0};
        const auto log_probs = proxy.log_probs(subset, Part::reward, {});
        double likelihood = 0.0;
        for (std::size_t i = 0; i < 100; ++i) {
            double sum = 0.0;
            for (std::size_t c = 0; c < 4; ++c) sum += std::exp(double{log_probs[4 * i + c]});
            CHECK(sum == Approx(1.0).epsilon(1e-5));
            likelihood +=
                double{log_probs[4 * i + static_cast<std::size_t>(environment.reward.targets[i])]};
        }
        if (options.repeats > 1) continue;
        std::vector<double> metrics(2);
        proxy.evaluate(subset, 3, Part::reward, metrics);
        CHECK(likelihood / 100.0 == Approx(metrics[1]).epsilon(1e-4));
    }
}

TEST_CASE("a learner that diverges has no metric, and its neighbours keep theirs", "[proxy]") {
    Environment environment = make_environment({.candidates = 30, .reward = 50, .test = 10}, 1);
    for (const std::int64_t hidden : {0, 5}) {
        ProxyOptions options;
        options.learner.hidden = hidden;
        options.learner.learning_rate = 3e38;  // two steps, and weights overflow
        const auto metrics =
            PointProxy(environment, options).evaluate_means({}, 0, Part::reward).front();
        INFO("hidden " << hidden << ": " << metrics[0] << " " << metrics[1]);
        CHECK(std::isnan(metrics[0]));
        CHECK(std::isnan(metrics[1]));
    }
    ProxyOptions options;
    options.learner.hidden = 5;
    const std::vector<std::int32_t> sound{3, 4};
    const auto alone =
        PointProxy(environment, options).evaluate_means(sound, 2, Part::reward).front();
    // Candidate 0 is so far off that its gradient overflows.
    environment.candidates.features[0] = environment.candidates.features[1] = 3e38F;
    const PointProxy proxy(environment, options);
    const auto both = proxy.evaluate_means(std::vector<std::int32_t>{0, 1, 3, 4}, 2, Part::reward);
    CHECK(std::isnan(both[0][0]));
    CHECK(std::isnan(both[0][1]));
    CHECK(both[1] == alone);
}

TEST_CASE("both metrics of one call are those of a call each", "[proxy]") {
    const Environment environment = make_environment({.candidates = 30, .reward = 50}, 1);
    ProxyOptions options;
    options.learner.hidden = 5;
    options.repeats = 3;
    const PointProxy proxy(environment, options);
    const auto subsets = random_subsets(9, 4, 30);
    const auto means = proxy.evaluate_means(subsets, 4, Part::test);
    std::vector<double> all(9 * 3 * 2), values(9);
    proxy.evaluate(subsets, 4, Part::test, all);
    for (std::size_t metric = 0; metric < 2; ++metric) {
        proxy.evaluate_mean(subsets, 4, Part::test, metric, values);
        for (std::size_t q = 0; q < 9; ++q) {
            CHECK(means[q][metric] == values[q]);
            const double* const own = all.data() + q * 6 + metric;
            CHECK(values[q] == Approx((own[0] + own[2] + own[4]) / 3.0));
        }
    }
}

TEST_CASE("operations of a proxy are those of its products, counted by hand", "[proxy]") {
    const Environment environment =
        make_environment({.candidates = 30, .labelled = 12, .reward = 50, .test = 70}, 1);
    const auto d1 = static_cast<double>(environment.dimensions + 1);
    const auto classes = static_cast<double>(environment.classes);
    ProxyOptions options;
    options.learner.steps = 20;
    // Softmax regression: forward [rows, d + 1] by [d + 1, C], and backward as many.
    const double row = 2.0 * d1 * classes;
    const PointProxy plain(environment, options);
    CHECK(plain.flops(4, Part::reward) == 20 * 2 * (12 + 4) * row + 50 * row);
    CHECK(plain.flops(0, Part::test) == 20 * 2 * 12 * row + 70 * row);
    // A hidden layer of 5: the gradient goes back to it through [6, C] less the constant.
    options.learner.hidden = 5;
    options.repeats = 3;
    const double deep = 2.0 * (d1 * 5 + 6 * classes), back = deep + 2.0 * 5 * classes;
    CHECK(PointProxy(environment, options).flops(4, Part::reward) ==
          3 * (20 * (12 + 4) * (deep + back) + 50 * deep));
    // All 30 candidates take part without labels; a teacher is asked for them too.
    options.learner.hidden = 0;
    options.repeats = 1;
    options.learner.supervision = Supervision::pseudo_label;
    CHECK(PointProxy(environment, options).flops(4, Part::reward) ==
          20 * 2 * (12 + 4 + 30) * row + 50 * row);
    options.learner.supervision = Supervision::mean_teacher;
    CHECK(PointProxy(environment, options).flops(4, Part::reward) ==
          20 * (2 * (12 + 4 + 30) + 30) * row + 50 * row);
    // A warm one has its own number of steps.
    options.learner.supervision = Supervision::supervised;
    options.warm_steps = 7;
    CHECK(PointProxy(environment, options).flops(4, Part::reward) ==
          7 * 2 * (12 + 4) * row + 50 * row);
}

TEST_CASE("options of a proxy beyond what they mean are refused", "[proxy]") {
    const Environment environment = make_environment({.candidates = 30}, 1);
    const auto refusal = [&](double LearnerOptions::*option, double value) {
        ProxyOptions options;
        options.learner.*option = value;
        CHECK_THROWS_AS(PointProxy(environment, options), UsageError);
    };
    for (const auto option :
         {&LearnerOptions::consistency, &LearnerOptions::noise, &LearnerOptions::ramp,
          &LearnerOptions::threshold, &LearnerOptions::teacher_decay,
          &LearnerOptions::learning_rate, &LearnerOptions::weight_decay}) {
        refusal(option, -0.1);
        refusal(option, std::nan(""));
    }
    for (const auto option :
         {&LearnerOptions::ramp, &LearnerOptions::threshold, &LearnerOptions::teacher_decay}) {
        refusal(option, 1.1);
    }
}

TEST_CASE("subsets and proxies that cannot be are refused", "[proxy]") {
    Environment environment = make_environment({.candidates = 30, .reward = 50}, 6);
    const PointProxy proxy(environment, {});
    std::vector<double> metrics(2);
    const auto evaluate = [&](std::vector<std::int32_t> subset) {
        proxy.evaluate(subset, std::ssize(subset), Part::reward, metrics);
    };
    CHECK_THROWS_WITH(evaluate({1, 30}), contains("candidate 30, but there are 30"));
    CHECK_THROWS_WITH(evaluate({7, 2, 7}), contains("candidate 7 twice"));
    CHECK_THROWS_WITH(proxy.evaluate(std::vector<std::int32_t>{1, 2, 3}, 2, Part::reward, metrics),
                      contains("do not agree"));
    CHECK_THROWS_WITH(ProxyMetric(proxy, "map", Part::test), contains("negative-loss"));
    CHECK_THROWS_WITH(supervision_named("self"), contains("mean-teacher"));
    ProxyOptions options;
    options.repeats = 3;
    CHECK_THROWS_WITH(PointProxy(environment, options), contains("all the same"));
    environment.candidates.targets[3] = 9;
    CHECK_THROWS_WITH(PointProxy(environment, {}), contains("is 9; allowed are 0 to 3"));
    environment.candidates.targets[3] = 0;
    environment.candidates.features[1] = std::nanf("");
    CHECK_THROWS_WITH(PointProxy(environment, {}), contains("not finite"));
}
