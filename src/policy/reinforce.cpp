#include "src/policy/reinforce.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "src/base/check.hpp"
#include "src/random/permutation.hpp"

namespace thresher {

namespace {

/// How far below random batches a batch counts whose size no table knows, at the least.
constexpr double kDeviationsOfUnknown = 2.0;

constexpr double kBeta1 = 0.9, kBeta2 = 0.999, kEpsilon = 1e-8;
constexpr std::uint32_t kRandomBatches = 0xFFFFFFFF;  // in place of an update
constexpr std::int64_t kPatience = 10;                // updates whose gradient is not finite
constexpr double kPriceRate = 0.05;
constexpr std::int64_t kPickShares = 50;

/// The metric of every batch; batches of one size are asked for together.
std::vector<double> metric_of(const TrainingEnvironment& environment,
                              const std::vector<std::vector<std::int32_t>>& batches) {
    std::map<std::size_t, std::vector<std::size_t>> by_size;
    for (std::size_t k = 0; k < batches.size(); ++k) by_size[batches[k].size()].push_back(k);
    std::vector<double> found(batches.size());
    for (const auto& [size, places] : by_size) {
        std::vector<std::int32_t> subsets;
        for (const std::size_t k : places) {
            subsets.insert(subsets.end(), batches[k].begin(), batches[k].end());
        }
        std::vector<double> values(places.size());
        environment.metric->evaluate(subsets, static_cast<std::int64_t>(size), values);
        for (std::size_t i = 0; i < places.size(); ++i) found[places[i]] = values[i];
    }
    return found;
}

/// In standard deviations of random batches above their mean.
double gain_of(double reward, const Spread& random) {
    return random.deviation > 0.0 ? (reward - random.mean) / random.deviation : 0.0;
}

/// The share of the picks that are among the 2 b candidates of the highest, or lowest, difficulty;
/// NaN where more than half of the candidates are.
double share_of_extremes(const CandidateSet& candidates, const Rollouts& rollouts,
                         std::int64_t picks, bool hardest) {
    const std::vector<float>& difficulty = candidates.difficulty;
    if (difficulty.empty() || 4 * picks > candidates.rows) return std::nan("");
    std::vector<std::int32_t> order(difficulty.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
        const float left = difficulty[static_cast<std::size_t>(a)];
        const float right = difficulty[static_cast<std::size_t>(b)];
        return hardest ? left > right : left < right;
    });
    std::vector<std::uint8_t> extreme(difficulty.size());
    const auto count = static_cast<std::size_t>(2 * picks);
    for (std::size_t i = 0; i < count; ++i) extreme[static_cast<std::size_t>(order[i])] = 1;
    double inside = 0.0, all = 0.0;
    for (const auto& batch : rollouts.picks) {
        for (const std::int32_t pick : batch) {
            inside += extreme[static_cast<std::size_t>(pick)];
            all += 1.0;
        }
    }
    return inside / all;
}

}  // namespace

void check_options(const ReinforceOptions& options) {
    const auto positive = [](const char* what, double value) {
        THRESHER_CHECK_AS(UsageError, value > 0.0, "{} is {}; it must be above 0", what, value);
    };
    THRESHER_CHECK_AS(UsageError, options.rollouts >= 2,
                      "the number of rollouts of an update is {}; rewards are told by how they "
                      "differ, so 2 are the fewest",
                      options.rollouts);
    positive("the number of updates", static_cast<double>(options.updates));
    positive("the learning rate of the policy", options.learning_rate);
    THRESHER_CHECK_AS(UsageError, options.replay >= 0,
                      "{} rollouts of earlier updates were to be used again; 0 is the fewest",
                      options.replay);
    THRESHER_CHECK_AS(UsageError,
                      options.gradient_clip >= 0.0 && options.truncation >= 0 &&
                          options.refresh_every >= 0 && options.entropy_bonus >= 0.0 &&
                          options.last_entropy_bonus >= 0.0,
                      "gradient clip {}, truncation {}, refresh every {} updates, entropy bonus {} "
                      "to {}; each must be 0 or more",
                      options.gradient_clip, options.truncation, options.refresh_every,
                      options.entropy_bonus, options.last_entropy_bonus);
    static_cast<void>(find_baseline(options.baseline));
}

Reinforce::Reinforce(Policy policy, std::span<const TrainingEnvironment> environments,
                     const ReinforceOptions& options, Refresh refresh)
    : policy_(std::move(policy)),
      head_(find_head(policy_.head)),
      baseline_(find_baseline(options.baseline)),
      environments_(environments),
      options_(options),
      refresh_(std::move(refresh)),
      memories_(environments.size()),
      first_moments_(policy_.parameters.size()),
      second_moments_(policy_.parameters.size()) {
    check_options(options);
    THRESHER_CHECK(!environments.empty(), "there is no environment to train the policy in");
    for (const TrainingEnvironment& environment : environments_) {
        check_draw(head_, policy_, environment.candidates, options_.picks);
    }
    measure_random();
}

void Reinforce::check_that_batches_differ() const {
    const bool differ = std::any_of(random_.begin(), random_.end(), [](const Spread& spread) {
        return differ_by_more_than_rounding(spread);
    });
    THRESHER_CHECK(differ,
                   "all of {} random batches of {} have the same {} ({}), in every environment: "
                   "nothing can be learned; measure it on more examples, take another metric, a "
                   "larger batch or, where a table estimates it, more records",
                   options_.rollouts, options_.picks, environments_[0].metric->name(),
                   random_[0].mean);
}

Draw Reinforce::draw_for(std::int64_t update) const {
    return {.rollouts = options_.rollouts,
            .picks = options_.picks,
            .seed = options_.seed,
            .update = static_cast<std::uint32_t>(update),
            .truncation = options_.truncation};
}

void Reinforce::measure_random() {
    const bool first = uniform_entropies_.empty();
    random_.clear();
    for (const TrainingEnvironment& environment : environments_) {
        const Policy uniform = make_policy(policy_.head, policy_.shape, policy_.logit_bound, 0);
        Draw draw = draw_for(0);
        draw.update = kRandomBatches;
        const Rollouts rollouts = draw_batches(uniform, environment.candidates, draw);
        random_.push_back(spread_of_finite(metric_of(environment, rollouts.picks)));
        if (first) uniform_entropies_.push_back(spread_of(rollouts.entropies).mean);
    }
}

std::vector<double> Reinforce::finite_metrics_of(
    std::size_t place, const std::vector<std::vector<std::int32_t>>& batches) const {
    const TrainingEnvironment& environment = environments_[place];
    std::vector<double> metrics = metric_of(environment, batches);
    if (!head_.exact) {
        // Of a size that the table does not know: worse than all it knows, and the more so the
        // further it is from b, so that the policy comes back to where it can learn.
        const Spread& random = random_[place];
        const auto b = static_cast<double>(options_.picks);
        for (std::size_t i = 0; i < metrics.size(); ++i) {
            if (std::isfinite(metrics[i])) continue;
            const double away = std::abs(static_cast<double>(batches[i].size()) - b) / b;
            metrics[i] = random.mean - kDeviationsOfUnknown * (1.0 + away) * random.deviation;
        }
        return metrics;
    }
    const Spread finite = spread_of_finite(metrics);
    const bool any = std::any_of(metrics.begin(), metrics.end(),
                                 [](double metric) { return std::isfinite(metric); });
    THRESHER_CHECK(any, "{}: none of {} batches has a finite {}", environment.name, metrics.size(),
                   environment.metric->name());
    for (double& metric : metrics) {
        if (!std::isfinite(metric)) metric = finite.mean;  // it teaches nothing
    }
    return metrics;
}

std::vector<double> Reinforce::rewards_of(
    std::span<const double> metrics, const std::vector<std::vector<std::int32_t>>& batches) const {
    std::vector<double> rewards(metrics.begin(), metrics.end());
    for (std::size_t k = 0; !head_.exact && k < rewards.size(); ++k) {
        rewards[k] -= price_ * static_cast<double>(batches[k].size());
    }
    return rewards;
}

std::vector<float> Reinforce::replayed_advantages(std::size_t environment, const Rollouts& rollouts,
                                                  std::span<const double> rewards, const Draw& draw,
                                                  std::span<float> gradient) const {
    const ReplayMemory& memory = memories_[environment];
    if (memory.size() == 0)
        return advantages_of(baseline_, rewards, rollouts.values, rollouts.steps);
    const CandidateSet& candidates = environments_[environment].candidates;
    const Rollouts again = follow_memory(policy_, candidates, draw, memory);
    std::vector<double> of_all(rewards.begin(), rewards.end());
    const std::vector<double> of_memory = rewards_of(memory.metrics, memory.picks);
    of_all.insert(of_all.end(), of_memory.begin(), of_memory.end());
    std::vector<float> values = rollouts.values;
    values.insert(values.end(), again.values.begin(), again.values.end());
    std::vector<float> advantages = advantages_of(baseline_, of_all, values, rollouts.steps);
    const auto fresh =
        std::span(advantages).first(rewards.size() * static_cast<std::size_t>(rollouts.steps));
    const auto old = std::span(advantages).subspan(fresh.size());
    const auto share = static_cast<float>(static_cast<double>(rewards.size()) /
                                          static_cast<double>(of_all.size()));
    for (float& advantage : fresh) advantage *= share;
    for (float& advantage : old) advantage *= 1.0F - share;
    weigh_by_importance(memory, again, old);
    Draw of_again = draw;
    of_again.rollouts = memory.size();
    head_.add_gradient(policy_, candidates, of_again, again, {old, 0.0, {}}, gradient);
    advantages.resize(fresh.size());
    return advantages;
}

void Reinforce::update() {
    new_warnings_.clear();
    if (updates_done_ == 0) check_that_batches_differ();
    if (refresh_ && options_.refresh_every > 0 && updates_done_ > 0 &&
        updates_done_ % options_.refresh_every == 0) {
        refresh();
    }
    const std::int64_t count = std::ssize(environments_);
    const KeyedPermutation order(count, options_.seed, Stream::policy_environment,
                                 static_cast<std::uint32_t>(updates_done_ / count));
    const auto place = static_cast<std::size_t>(order(updates_done_ % count));
    const TrainingEnvironment& environment = environments_[place];
    const Draw draw = draw_for(updates_done_);
    const Rollouts rollouts = draw_batches(policy_, environment.candidates, draw);
    if (place == 0) note_picks(rollouts);
    const std::vector<double> metrics = finite_metrics_of(place, rollouts.picks);
    const std::vector<double> rewards = rewards_of(metrics, rollouts.picks);
    std::vector<float> gradient(policy_.parameters.size());
    const std::vector<float> advantages =
        replayed_advantages(place, rollouts, rewards, draw, gradient);
    const Spread spread = spread_of(rewards);
    std::vector<float> errors;
    if (baseline_.learns_values && differ_by_more_than_rounding(spread)) {
        for (std::size_t i = 0; i < rollouts.values.size(); ++i) {
            const double reward = rewards[i / static_cast<std::size_t>(rollouts.steps)];
            errors.push_back(static_cast<float>((reward - spread.mean) / spread.deviation) -
                             rollouts.values[i]);
        }
    }
    const double done = options_.updates > 1 ? static_cast<double>(updates_done_) /
                                                   static_cast<double>(options_.updates - 1)
                                             : 0.0;
    const double bonus =
        options_.entropy_bonus + done * (options_.last_entropy_bonus - options_.entropy_bonus);
    head_.add_gradient(policy_, environment.candidates, draw, rollouts, {advantages, bonus, errors},
                       gradient);
    flops_ += 4.0 * flops_of(policy_, environment.candidates, draw);  // drawn, and the gradient
    if (const std::int64_t again = memories_[place].size(); again > 0) {
        Draw of_again = draw;
        of_again.rollouts = again;
        flops_ += 4.0 * flops_of(policy_, environment.candidates, of_again);
    }
    if (options_.replay > 0) memories_[place].keep(rollouts, metrics, options_.replay);
    ++updates_done_;
    record(environment, rollouts, rewards, random_[place]);
    step(gradient);
    new_warnings_ = new_signatures(curves_, options_.updates, reported_);
    THRESHER_CHECK(not_finite_in_a_row_ < kPatience,
                   "the gradient has not been finite for {} updates; take a smaller learning rate "
                   "than {}, and look for features that are not finite",
                   not_finite_in_a_row_, options_.learning_rate);
}

void Reinforce::note_picks(const Rollouts& rollouts) {
    const std::int64_t count = std::ssize(environments_);
    const std::int64_t every = std::max<std::int64_t>(1, options_.updates / (count * kPickShares));
    if (updates_done_ / count % every != 0) return;
    const auto rows = static_cast<std::size_t>(environments_[0].candidates.rows);
    std::vector<double> shares(rows);
    for (const auto& batch : rollouts.picks) {
        for (const std::int32_t pick : batch) shares[static_cast<std::size_t>(pick)] += 1.0;
    }
    for (double& share : shares) share /= static_cast<double>(rollouts.picks.size());
    pick_shares_.updates.push_back(static_cast<double>(updates_done_));
    pick_shares_.shares.insert(pick_shares_.shares.end(), shares.begin(), shares.end());
}

void Reinforce::refresh() {
    bool refitted = false;
    std::vector<RefreshReport> reports(environments_.size());
    for (std::size_t i = 0; i < environments_.size(); ++i) {
        const Rollouts proposed =
            draw_batches(policy_, environments_[i].candidates, draw_for(updates_done_));
        flops_ += flops_of(policy_, environments_[i].candidates, draw_for(updates_done_));
        std::vector<std::int32_t> batches;
        for (const auto& batch : proposed.picks) {
            if (std::ssize(batch) != options_.picks) continue;  // label-or-not
            batches.insert(batches.end(), batch.begin(), batch.end());
        }
        const auto report = refresh_(updates_done_, i, batches);
        if (!report) continue;
        refitted = true;
        reports[i] = *report;
    }
    if (!refitted) return;
    for (std::size_t i = 0; i < memories_.size(); ++i) {
        if (memories_[i].size() == 0) continue;
        memories_[i].metrics = finite_metrics_of(i, memories_[i].picks);
    }
    measure_random();
    // Over the environments whose proposals were retrained; NaN where there is none.
    const auto mean = [&](const auto& value_of) {
        std::vector<double> values;
        for (std::size_t i = 0; i < reports.size(); ++i) {
            if (std::isfinite(reports[i].retrained)) values.push_back(value_of(i));
        }
        return values.empty() ? std::nan("") : spread_of_finite(values).mean;
    };
    const auto add = [&](const char* name, double value) { curves_[name].push_back(value); };
    add("refresh_update", static_cast<double>(updates_done_));
    add("predicted", mean([&](std::size_t i) { return reports[i].predicted; }));
    add("retrained", mean([&](std::size_t i) { return reports[i].retrained; }));
    add("retrained_gain",
        mean([&](std::size_t i) { return gain_of(reports[i].retrained, reports[i].random); }));
    add("estimate_error", mean([&](std::size_t i) { return reports[i].error; }));
    add("retrained_spread", mean([&](std::size_t i) { return reports[i].spread; }));
}

void Reinforce::record(const TrainingEnvironment& environment, const Rollouts& rollouts,
                       std::span<const double> rewards, const Spread& random) {
    const Spread spread = spread_of(rewards);
    double labels = 0.0;
    for (const auto& batch : rollouts.picks) labels += static_cast<double>(batch.size());
    labels /= static_cast<double>(rollouts.picks.size());
    const double reward = spread.mean + (head_.exact ? 0.0 : price_ * labels);
    const auto place = static_cast<std::size_t>(&environment - environments_.data());
    const auto add = [&](const char* name, double value) { curves_[name].push_back(value); };
    add("environment", static_cast<double>(place));
    add("reward", reward);
    add("reward_spread", spread.deviation);
    add("gain", gain_of(reward, random));
    add("entropy",
        spread_of(rollouts.entropies).mean / std::max(1e-300, uniform_entropies_[place]));
    add("hard_share", share_of_extremes(environment.candidates, rollouts, options_.picks, true));
    add("easy_share", share_of_extremes(environment.candidates, rollouts, options_.picks, false));
    if (head_.exact) return;
    add("labels", labels);
    add("price", price_);
    // The price rises while more than b are labelled, and falls while fewer are.
    const auto budget = static_cast<double>(options_.picks);
    price_ += kPriceRate * random.deviation * (labels - budget) / budget;
}

/// Adam (Kingma and Ba 2015), uphill.
void Reinforce::step(std::span<float> gradient) {
    double square = 0.0;
    for (const float slope : gradient) square += double{slope} * double{slope};
    const double norm = std::sqrt(square);
    curves_["gradient_norm"].push_back(norm);
    if (!std::isfinite(norm)) {
        ++not_finite_in_a_row_;
        return;
    }
    not_finite_in_a_row_ = 0;
    ++adam_steps_;
    const double clip = options_.gradient_clip;
    const double factor = clip > 0.0 && norm > clip ? clip / norm : 1.0;
    const double t = static_cast<double>(adam_steps_);
    const double unbias1 = 1.0 - std::pow(kBeta1, t), unbias2 = 1.0 - std::pow(kBeta2, t);
    for (std::size_t i = 0; i < gradient.size(); ++i) {
        const double slope = factor * double{gradient[i]};
        first_moments_[i] = kBeta1 * first_moments_[i] + (1.0 - kBeta1) * slope;
        second_moments_[i] = kBeta2 * second_moments_[i] + (1.0 - kBeta2) * slope * slope;
        const double step =
            (first_moments_[i] / unbias1) / (std::sqrt(second_moments_[i] / unbias2) + kEpsilon);
        policy_.parameters[i] += static_cast<float>(options_.learning_rate * step);
    }
}

}  // namespace thresher
