#pragma once

// The proxy of images with boxes: a detector trained on the labelled set and the batch. By default
// its trunk is frozen, the features of all images are kept in memory and the heads alone are
// trained, in a second or so; or the whole of it is trained. All subsets see the same seeds.

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "src/environments/points/learner.hpp"
#include "src/environments/proxy.hpp"
#include "src/models/model.hpp"
#include "src/pool/memory_source.hpp"

namespace thresher {

struct DetectionProxyOptions {
    std::int64_t steps = 200, batch_size = 16;
    double learning_rate = 0.003;  ///< of the first step (AdamW); falls to 0 in a straight line
    double weight_decay = 1e-3;
    /// What becomes of the candidates that are not in the subset. pseudo-label: anchors that the
    /// detector finds an object for with a probability of `threshold` learn to be sure of it;
    /// mean-teacher: what a running mean of the detector finds in the mirrored image, from
    /// `threshold` on, and where (Jeong et al. 2019). What they take for background is unknown.
    Supervision supervision = Supervision::supervised;
    double consistency = 1.0, ramp = 0.5, threshold = 0.7, teacher_decay = 0.95;
    bool warm = false;  ///< begin with the detector that was given, not with new weights
    bool full = false;  ///< train the trunk as well
    std::int64_t repeats = 1;
    std::uint64_t seed = 0;  ///< of weights, order and mirroring; the same for all subsets
};

/// The images of an environment, with boxes.
struct DetectionParts {
    MemoryPool labelled, candidates, reward, test;
};

class DetectionProxy final : public Proxy {
  public:
    /// `detector` gives the trunk, and the heads where `warm`; `name` tells it from others, for
    /// describe(). Throws UsageError for options out of range, Error for parts without images or
    /// boxes, and where the model is no detector built here.
    DetectionProxy(const Model& detector, const std::string& name, const DetectionParts& parts,
                   const DetectionProxyOptions& options);
    ~DetectionProxy() override;

    std::int64_t candidates() const override;
    std::int64_t repeats() const override;
    std::int64_t side_by_side() const override { return 1; }
    /// "average-precision" (pool_metric(), in pixels of the input), "negative-loss"
    const std::array<std::string_view, kProxyMetrics>& metric_names() const override;
    /// Of classes and, last, of nothing: see presence(). C is one more than the detector's classes.
    std::vector<float> log_probs(std::span<const std::int32_t> subset, Part part,
                                 std::span<const std::int32_t> rows) const override;
    /// Measured in a step, not counted.
    double flops(std::int64_t size, Part judged_on) const override;
    std::string describe() const override;

  private:
    void retrain(std::span<const std::int32_t> subsets, std::int64_t size, std::int64_t count,
                 Part judged_on, std::span<double> metrics) const override;
    struct Body;
    std::unique_ptr<Body> body_;
};

}  // namespace thresher
