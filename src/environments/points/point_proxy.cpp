#include "src/environments/points/point_proxy.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "src/base/check.hpp"
#include "src/base/thread_team.hpp"
#include "src/random/philox.hpp"

namespace thresher {

namespace {

constexpr std::int64_t kNoisyCopies = 8;

/// Draws of Stream::proxy by what they are for; the rounds of a repeat follow each other.
enum Round : std::uint32_t { kWeights, kNoise, kRounds };

Inputs inputs_of(const Points& points, std::int64_t dimensions, std::int64_t classes,
                 const char* what) {
    THRESHER_CHECK(std::ssize(points.features) == points.rows * dimensions &&
                       std::ssize(points.targets) == points.rows,
                   "the {} of an environment of {} dimensions are {} rows, {} features and {} "
                   "targets, which do not agree",
                   what, dimensions, points.rows, points.features.size(), points.targets.size());
    Inputs inputs;
    inputs.rows = points.rows;
    inputs.targets = points.targets;
    for (const std::int32_t target : points.targets) {
        THRESHER_CHECK(target >= 0 && target < classes,
                       "a target of the {} is {}; allowed are 0 to {}", what, target, classes - 1);
    }
    for (std::int64_t i = 0; i < points.rows; ++i) {
        const auto row = points.features.begin() + i * dimensions;
        THRESHER_CHECK(std::all_of(row, row + dimensions, [](float x) { return std::isfinite(x); }),
                       "row {} of the {} holds a number that is not finite", i, what);
        inputs.values.insert(inputs.values.end(), row, row + dimensions);
        inputs.values.push_back(1.0F);
    }
    return inputs;
}

void check_options(const ProxyOptions& options) {
    const LearnerOptions& learner = options.learner;
    THRESHER_CHECK_AS(UsageError, learner.hidden >= 0 && learner.hidden <= 1024,
                      "the hidden layer of the proxy is {} wide; allowed are 0 (none) to 1024",
                      learner.hidden);
    THRESHER_CHECK_AS(UsageError, learner.steps >= 1,
                      "the proxy is trained {} steps; 1 or more are needed", learner.steps);
    THRESHER_CHECK_AS(UsageError, learner.learning_rate > 0.0 && learner.weight_decay >= 0.0,
                      "the proxy's learning rate is {} and its weight decay {}; the first must be "
                      "above 0, the second 0 or more",
                      learner.learning_rate, learner.weight_decay);
    THRESHER_CHECK_AS(UsageError, learner.consistency >= 0.0 && learner.noise >= 0.0,
                      "the proxy's consistency is {} and its noise {}; both must be 0 or more",
                      learner.consistency, learner.noise);
    for (const auto& [what, share] : {std::pair{"ramp", learner.ramp},
                                      {"threshold", learner.threshold},
                                      {"teacher decay", learner.teacher_decay}}) {
        THRESHER_CHECK_AS(UsageError, share >= 0.0 && share <= 1.0,
                          "the proxy's {} is {}; allowed are 0 to 1", what, share);
    }
    THRESHER_CHECK_AS(
        UsageError, options.warm_steps >= 0,
        "a warm retraining of {} steps was asked for; 1 is the fewest, 0 retrains from "
        "scratch",
        options.warm_steps);
    THRESHER_CHECK_AS(UsageError, options.repeats >= 1,
                      "{} trainings of the proxy are averaged; 1 or more are needed",
                      options.repeats);
    THRESHER_CHECK_AS(UsageError,
                      options.repeats == 1 || learner.hidden > 0 ||
                          learner.supervision == Supervision::mean_teacher,
                      "{} trainings of a proxy without a hidden layer are all the same, as it "
                      "begins at 0; average 1, or give it a hidden layer",
                      options.repeats);
}

}  // namespace

std::string_view supervision_name(Supervision supervision) {
    constexpr std::string_view kNames[] = {"supervised", "pseudo-label", "mean-teacher"};
    return kNames[static_cast<std::size_t>(supervision)];
}

Supervision supervision_named(std::string_view name) {
    for (const Supervision known :
         {Supervision::supervised, Supervision::pseudo_label, Supervision::mean_teacher}) {
        if (name == supervision_name(known)) return known;
    }
    fail<UsageError>("unknown proxy \"{}\"; known: supervised, pseudo-label, mean-teacher", name);
}

PointProxy::PointProxy(const Environment& environment, const ProxyOptions& options)
    : options_(options),
      retraining_(options.learner),
      dimensions_(environment.dimensions),
      classes_(environment.classes) {
    check_options(options);
    THRESHER_CHECK(environment.dimensions >= 1 && environment.classes >= 2,
                   "an environment of {} features and {} classes teaches nothing; 1 and 2 are the "
                   "fewest",
                   environment.dimensions, environment.classes);
    labelled_ = inputs_of(environment.labelled, dimensions_, classes_, "labelled set");
    candidates_ = inputs_of(environment.candidates, dimensions_, classes_, "candidates");
    reward_ = inputs_of(environment.reward, dimensions_, classes_, "reward points");
    test_ = inputs_of(environment.test, dimensions_, classes_, "test points");
    THRESHER_CHECK(labelled_.rows > 0 && candidates_.rows > 0 && reward_.rows > 0,
                   "an environment of {} labelled points, {} candidates and {} reward points "
                   "teaches nothing; each needs 1 or more",
                   labelled_.rows, candidates_.rows, reward_.rows);
    const LearnerOptions& learner = options_.learner;
    const std::int64_t first = (dimensions_ + 1) * learner.hidden;
    for (std::int64_t repeat = 0; repeat < options.repeats; ++repeat) {
        const auto round = static_cast<std::uint32_t>(repeat * kRounds);
        Start start;
        start.weights.assign(static_cast<std::size_t>(parameters(learner, dimensions_, classes_)),
                             0.0F);
        if (learner.hidden > 0) {  // He et al. 2015; softmax regression begins at 0
            const KeyedRandom random(options.seed, Stream::proxy, round + kWeights);
            const double of_first = std::sqrt(2.0 / static_cast<double>(dimensions_));
            const double of_second = std::sqrt(1.0 / static_cast<double>(learner.hidden));
            for (std::size_t i = 0; i < start.weights.size(); ++i) {
                const auto id = static_cast<std::int64_t>(i);
                start.weights[i] =
                    static_cast<float>((id < first ? of_first : of_second) * random.normal(id));
            }
        }
        if (learner.supervision == Supervision::mean_teacher) {
            const KeyedRandom random(options.seed, Stream::proxy, round + kNoise);
            for (std::int64_t copy = 0; copy < kNoisyCopies; ++copy) {
                std::vector<float> values = candidates_.values;
                for (std::size_t i = 0; i < values.size(); ++i) {
                    const auto id = static_cast<std::int64_t>(i);
                    if ((id + 1) % (dimensions_ + 1) == 0) continue;  // the constant
                    values[i] += static_cast<float>(learner.noise *
                                                    random.normal(copy * std::ssize(values) + id));
                }
                start.noisy.push_back(std::move(values));
            }
        }
        starts_.push_back(std::move(start));
    }
    if (options.warm_steps > 0) begin_warm();
}

void PointProxy::begin_warm() {
    const auto lanes = static_cast<std::size_t>(learner_lanes());
    for (std::int64_t repeat = 0; repeat < options_.repeats; ++repeat) {
        std::vector<float>& start = starts_[static_cast<std::size_t>(repeat)].weights;
        std::vector<float> weights(start.size() * lanes);
        train_group(task(repeat), {}, 0, weights);
        for (std::size_t i = 0; i < start.size(); ++i) start[i] = weights[i * lanes];
    }
    retraining_.steps = options_.warm_steps;
}

const std::array<std::string_view, kProxyMetrics>& PointProxy::metric_names() const {
    static constexpr std::array<std::string_view, kProxyMetrics> kNames{"accuracy",
                                                                        "negative-loss"};
    return kNames;
}

LearnerTask PointProxy::task(std::int64_t repeat) const {
    const Start& start = starts_[static_cast<std::size_t>(repeat)];
    return {dimensions_, classes_, retraining_, labelled_, candidates_, start.weights, start.noisy};
}

const Inputs& PointProxy::points_of(Part part) const {
    switch (part) {
        case Part::labelled:
            return labelled_;
        case Part::candidates:
            return candidates_;
        case Part::reward:
            return reward_;
        case Part::test:
            break;
    }
    return test_;
}

double PointProxy::flops(std::int64_t size, Part judged_on) const {
    const double judging = forward_flops(options_.learner, dimensions_, classes_) *
                           static_cast<double>(points_of(judged_on).rows);
    return static_cast<double>(options_.repeats) * (training_flops(task(0), size) + judging);
}

void PointProxy::retrain(std::span<const std::int32_t> subsets, std::int64_t size,
                         std::int64_t count, Part judged_on, std::span<double> metrics) const {
    const std::int64_t r = options_.repeats, width = r * std::ssize(metric_names());
    const Inputs& points = points_of(judged_on);
    THRESHER_CHECK(points.rows > 0, "the environment has no test points to judge on");
    const std::int64_t lanes = learner_lanes(), groups = (count + lanes - 1) / lanes;
    const auto parameter_count =
        static_cast<std::size_t>(parameters(options_.learner, dimensions_, classes_) * lanes);
    parallel_for(groups * r, 1, [&](std::int64_t begin, std::int64_t end) {
        std::vector<float> weights(parameter_count);
        std::vector<double> accuracy(static_cast<std::size_t>(lanes)), likelihood(accuracy);
        for (std::int64_t part = begin; part < end; ++part) {
            const std::int64_t repeat = part % r, first = part / r * lanes;
            const std::int64_t own = std::min(lanes, count - first);
            const LearnerTask learning = task(repeat);
            train_group(learning,
                        subsets.subspan(static_cast<std::size_t>(first * size),
                                        static_cast<std::size_t>(own * size)),
                        size, weights);
            judge_group(learning, weights, points, accuracy, likelihood);
            for (std::int64_t i = 0; i < own; ++i) {
                const auto lane = static_cast<std::size_t>(i);
                double* const to = metrics.data() + (first + i) * width + 2 * repeat;
                to[0] = accuracy[lane];
                to[1] = likelihood[lane];
            }
        }
    });
}

std::vector<float> PointProxy::log_probs(std::span<const std::int32_t> subset, Part part,
                                         std::span<const std::int32_t> rows) const {
    if (!subset.empty()) check_subsets(subset, std::ssize(subset));
    const Inputs& all = points_of(part);
    Inputs some;
    for (const std::int32_t row : rows) {
        THRESHER_CHECK(row >= 0 && row < all.rows, "row {} was to be predicted, of {}", row,
                       all.rows);
        const auto values = all.values.begin() + row * (dimensions_ + 1);
        some.values.insert(some.values.end(), values, values + dimensions_ + 1);
        some.targets.push_back(all.targets[static_cast<std::size_t>(row)]);
        ++some.rows;
    }
    const Inputs& inputs = rows.empty() ? all : some;
    std::vector<float> weights(static_cast<std::size_t>(
        parameters(options_.learner, dimensions_, classes_) * learner_lanes()));
    std::vector<float> own(static_cast<std::size_t>(inputs.rows * classes_));
    std::vector<double> mean(own.size(), 0.0);
    for (std::int64_t repeat = 0; repeat < options_.repeats; ++repeat) {
        const LearnerTask learning = task(repeat);
        train_group(learning, subset, std::ssize(subset), weights);
        predict_lane(learning, weights, 0, inputs, own);
        for (std::size_t i = 0; i < own.size(); ++i) mean[i] += std::exp(double{own[i]});
    }
    if (options_.repeats == 1) return own;
    for (std::size_t i = 0; i < own.size(); ++i) {
        own[i] = static_cast<float>(std::log(mean[i] / static_cast<double>(options_.repeats)));
    }
    return own;
}

std::string PointProxy::describe() const {
    const LearnerOptions& learner = options_.learner;
    std::string text = fmt::format(
        "{}, hidden {}, {} steps, learning rate {}, weight decay {}, {} trainings, seed {}",
        supervision_name(learner.supervision), learner.hidden, learner.steps, learner.learning_rate,
        learner.weight_decay, options_.repeats, options_.seed);
    if (options_.warm_steps > 0) text += fmt::format(", warm with {} steps", options_.warm_steps);
    if (learner.supervision == Supervision::pseudo_label) {
        text += fmt::format(", consistency {}, ramp {}, threshold {}", learner.consistency,
                            learner.ramp, learner.threshold);
    } else if (learner.supervision == Supervision::mean_teacher) {
        text +=
            fmt::format(", consistency {}, ramp {}, teacher decay {}, noise {}",
                        learner.consistency, learner.ramp, learner.teacher_decay, learner.noise);
    }
    return text;
}

}  // namespace thresher
