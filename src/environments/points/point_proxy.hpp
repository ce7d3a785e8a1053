#pragma once

// The proxy of points with classes: the small learner, from scratch or from that of the labelled
// set.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "src/environments/environment.hpp"
#include "src/environments/points/learner.hpp"
#include "src/environments/proxy.hpp"

namespace thresher {

/// "supervised", "pseudo-label", "mean-teacher"; throws UsageError naming the known ones.
Supervision supervision_named(std::string_view name);

struct ProxyOptions {
    LearnerOptions learner;
    std::int64_t repeats = 1;  ///< r trainings, averaged, each from weights of its own
    std::uint64_t seed = 0;    ///< of the weights and the noise; the same for all subsets
    /// > 0: a retraining begins from the learner of the labelled set alone, and has so many steps.
    std::int64_t warm_steps = 0;
};

class PointProxy final : public Proxy {
  public:
    /// Copies what it needs of the environment. Throws UsageError for options out of range, Error
    /// for an environment that is not one.
    PointProxy(const Environment& environment, const ProxyOptions& options);

    std::int64_t candidates() const override { return candidates_.rows; }
    std::int64_t repeats() const override { return options_.repeats; }
    std::int64_t side_by_side() const override { return learner_lanes(); }
    /// "accuracy", "negative-loss"
    const std::array<std::string_view, kProxyMetrics>& metric_names() const override;
    std::vector<float> log_probs(std::span<const std::int32_t> subset, Part part,
                                 std::span<const std::int32_t> rows) const override;
    /// See training_flops().
    double flops(std::int64_t size, Part judged_on) const override;
    std::string describe() const override;

  private:
    struct Start {
        std::vector<float> weights;
        std::vector<std::vector<float>> noisy;
    };
    void retrain(std::span<const std::int32_t> subsets, std::int64_t size, std::int64_t count,
                 Part judged_on, std::span<double> metrics) const override;
    LearnerTask task(std::int64_t repeat) const;
    const Inputs& points_of(Part part) const;
    /// Puts the learner of the labelled set where retrainings begin.
    void begin_warm();

    ProxyOptions options_;
    LearnerOptions retraining_;
    std::int64_t dimensions_, classes_;
    Inputs labelled_, candidates_, reward_, test_;
    std::vector<Start> starts_;  ///< [r]
};

}  // namespace thresher
