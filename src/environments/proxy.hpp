#pragma once

// What a batch is worth, by retraining: the small learner, from scratch or from that of the
// labelled set, on the labelled set and the batch, judged on the reward or the test points. Nothing
// is carried from one call to the next, so every episode begins at the same place, and a subset
// alone is worth what it is among others.

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "src/environments/environment.hpp"
#include "src/environments/learner.hpp"
#include "src/policy/metric.hpp"

namespace thresher {

/// Metrics of a retrained learner in the order in which they are told; higher is better.
inline constexpr std::array<std::string_view, 2> kProxyMetrics{"accuracy", "negative-loss"};

using ProxyMetrics = std::array<double, kProxyMetrics.size()>;

/// Place of a metric among kProxyMetrics. Throws UsageError naming the known ones.
std::size_t proxy_metric(std::string_view name);

/// "supervised", "pseudo-label", "mean-teacher"; throws UsageError naming the known ones.
Supervision supervision_named(std::string_view name);

struct ProxyOptions {
    LearnerOptions learner;
    std::int64_t repeats = 1;  ///< r trainings, averaged, each from weights of its own
    std::uint64_t seed = 0;    ///< of the weights and the noise; the same for all subsets
    /// > 0: a retraining begins from the learner of the labelled set alone, and has so many steps.
    std::int64_t warm_steps = 0;
};

enum class JudgedOn { reward, test, labelled };

class Proxy {
  public:
    /// Copies what it needs of the environment. Throws UsageError for options out of range, Error
    /// for an environment that is not one.
    Proxy(const Environment& environment, const ProxyOptions& options);

    std::int64_t candidates() const { return candidates_.rows; }
    std::int64_t classes() const { return classes_; }
    std::int64_t repeats() const { return options_.repeats; }
    const ProxyOptions& options() const { return options_; }

    /// Fills `metrics` [Q, r, kProxyMetrics] for the subsets [Q, size]: positions of candidates,
    /// each at most once in a subset, -1 for none. With size 0, of the labelled set alone, Q is 1.
    /// Throws Error for positions that are none, or that come twice. Threads of the rank share the
    /// subsets. Local.
    void evaluate(std::span<const std::int32_t> subsets, std::int64_t size, JudgedOn judged_on,
                  std::span<double> metrics) const;

    /// The means over repeats, [Q].
    std::vector<ProxyMetrics> evaluate_means(std::span<const std::int32_t> subsets,
                                             std::int64_t size, JudgedOn judged_on) const;

    /// The same of one metric.
    void evaluate_mean(std::span<const std::int32_t> subsets, std::int64_t size, JudgedOn judged_on,
                       std::size_t metric, std::span<double> values) const;

    /// Logarithms of the mean probabilities over repeats that learners trained on the labelled set
    /// and `subset` (may be empty) give to `points`, [rows, C]. Local.
    std::vector<float> log_probs(std::span<const std::int32_t> subset, const Points& points) const;

    /// Floating-point operations of evaluating one subset of this size; see training_flops().
    /// Local.
    double flops(std::int64_t size, JudgedOn judged_on) const;

    /// What tells proxies apart that give other metrics: for files that must not be mixed.
    std::string describe() const;

  private:
    struct Start {
        std::vector<float> weights;
        std::vector<std::vector<float>> noisy;
    };
    LearnerTask task(std::int64_t repeat) const;
    const Inputs& points_of(JudgedOn judged_on) const;
    /// Puts the learner of the labelled set where retrainings begin.
    void begin_warm();

    ProxyOptions options_;
    LearnerOptions retraining_;
    std::int64_t dimensions_, classes_;
    Inputs labelled_, candidates_, reward_, test_;
    std::vector<Start> starts_;  ///< [r]
};

/// One metric of a proxy as everything asks for it.
class ProxyMetric final : public Metric {
  public:
    /// `proxy` must outlive it. Throws UsageError for an unknown metric.
    ProxyMetric(const Proxy& proxy, std::string_view metric, JudgedOn judged_on)
        : proxy_(proxy), metric_(proxy_metric(metric)), judged_on_(judged_on) {}

    std::string_view name() const override { return kProxyMetrics[metric_]; }
    void evaluate(std::span<const std::int32_t> subsets, std::int64_t size,
                  std::span<double> values) override {
        proxy_.evaluate_mean(subsets, size, judged_on_, metric_, values);
        flops_ += static_cast<double>(values.size()) * proxy_.flops(size, judged_on_);
    }
    /// Of all it has evaluated.
    double flops() const { return flops_; }

  private:
    const Proxy& proxy_;
    std::size_t metric_;
    JudgedOn judged_on_;
    double flops_ = 0.0;
};

}  // namespace thresher
