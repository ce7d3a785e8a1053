#pragma once

// What a batch is worth, by retraining: a learner trained on the labelled set and the batch, judged
// on what the environment keeps for that. Nothing is carried from one call to the next, so every
// episode begins at the same place, and a subset alone is worth what it is among others. Whether
// the learner tells points apart or finds objects in images is its own business.

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "src/policy/metric.hpp"

namespace thresher {

/// Metrics of a retrained learner: the first is what it is for, the second minus its mean loss.
constexpr std::size_t kProxyMetrics = 2;
using ProxyMetrics = std::array<double, kProxyMetrics>;

/// Parts of an environment.
enum class Part { labelled, candidates, reward, test };

class Proxy {
  public:
    virtual ~Proxy() = default;
    Proxy(const Proxy&) = delete;
    Proxy& operator=(const Proxy&) = delete;

    virtual std::int64_t candidates() const = 0;
    virtual std::int64_t repeats() const = 0;  ///< r trainings of a subset
    /// Subsets that cost least together; calls with a multiple of it waste nothing.
    virtual std::int64_t side_by_side() const = 0;
    /// Higher is better.
    virtual const std::array<std::string_view, kProxyMetrics>& metric_names() const = 0;

    /// Fills `metrics` [Q, r, kProxyMetrics] for the subsets [Q, size]: positions of candidates,
    /// each at most once in a subset, -1 for none. With size 0, of the labelled set alone, Q is 1.
    /// Throws Error for positions that are none, or that come twice. Threads of the rank share the
    /// subsets. Local.
    void evaluate(std::span<const std::int32_t> subsets, std::int64_t size, Part judged_on,
                  std::span<double> metrics) const;

    /// The means over repeats, [Q].
    std::vector<ProxyMetrics> evaluate_means(std::span<const std::int32_t> subsets,
                                             std::int64_t size, Part judged_on) const;

    /// The same of one metric.
    void evaluate_mean(std::span<const std::int32_t> subsets, std::int64_t size, Part judged_on,
                       std::size_t metric, std::span<double> values) const;

    /// Logarithms of the mean probabilities over repeats that learners trained on the labelled set
    /// and `subset` (may be empty) give to `rows` of a part (empty: all), [rows, C]. Local.
    virtual std::vector<float> log_probs(std::span<const std::int32_t> subset, Part part,
                                         std::span<const std::int32_t> rows) const = 0;

    /// Floating-point operations of evaluating one subset of this size. Local.
    virtual double flops(std::int64_t size, Part judged_on) const = 0;

    /// What tells proxies apart that give other metrics: for files that must not be mixed.
    virtual std::string describe() const = 0;

    /// Place of a metric among metric_names(). Throws UsageError naming the known ones.
    std::size_t metric(std::string_view name) const;

  protected:
    Proxy() = default;

    /// evaluate() of arguments that were looked at; `size` may be 0 and `count` then 1.
    virtual void retrain(std::span<const std::int32_t> subsets, std::int64_t size,
                         std::int64_t count, Part judged_on, std::span<double> metrics) const = 0;

    /// Throws Error unless every candidate of the subsets is one, and is in its subset once.
    void check_subsets(std::span<const std::int32_t> subsets, std::int64_t size) const;
};

/// One metric of a proxy as everything asks for it.
class ProxyMetric final : public Metric {
  public:
    /// `proxy` must outlive it. Throws UsageError for an unknown metric.
    ProxyMetric(const Proxy& proxy, std::string_view metric, Part judged_on)
        : proxy_(proxy), metric_(proxy.metric(metric)), judged_on_(judged_on) {}

    std::string_view name() const override { return proxy_.metric_names()[metric_]; }
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
    Part judged_on_;
    double flops_ = 0.0;
};

}  // namespace thresher
