#pragma once

// The sum of a gradient over the ranks while backward is still at work: in buckets, those of the
// last layers first, as backward makes them. Every rank has the same buckets in the same order.
// Which ranks' parts are added first is the collective's affair, so this is not for training that
// is to be reproducible.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "src/base/collective.hpp"
#include "src/pool/blocks.hpp"
#include "src/training/flat_tensors.hpp"

namespace thresher {

class GradientBuckets {
  public:
    static constexpr std::int64_t kUsualBytes = std::int64_t{25} << 20;

    /// Of `gradients` [parameters.size()], to which the tensors' gradients are bound: in the memory
    /// of the processor, or of a device that the collective reads. Everything must outlive this.
    GradientBuckets(const FlatTensors& parameters, const at::Tensor& gradients,
                    Collective& collective, std::int64_t bucket_bytes = kUsualBytes);
    ~GradientBuckets();
    GradientBuckets(const GradientBuckets&) = delete;
    GradientBuckets& operator=(const GradientBuckets&) = delete;

    /// What the next backward pass adds is the last: the sum of a bucket starts as soon as all of
    /// it is there and the buckets before it have started. Local.
    void expect_last();
    /// Starts the sums that backward has not, and waits for all. Every rank must come here, also
    /// where its backward pass has failed or there was none. Collective.
    void finish();

    std::int64_t size() const { return std::ssize(buckets_); }
    std::int64_t started() const { return next_; }  ///< of those that finish() waits for

  private:
    class Hook;
    struct Bucket {
        RowRange values;  ///< of the buffer
        std::int64_t tensors = 0, missing = 0;
    };

    void arrived(std::size_t bucket);
    void start_next();

    const FlatTensors& parameters_;
    at::Tensor gradients_;
    Collective& collective_;
    std::vector<Bucket> buckets_;
    std::int64_t next_ = 0;
    bool expecting_ = false;
};

}  // namespace thresher
