#include "src/training/gradient_buckets.hpp"

#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <memory>

namespace thresher {

/// Called by backward when the gradient of a tensor is whole.
class GradientBuckets::Hook final : public torch::autograd::PostAccumulateGradHook {
  public:
    Hook(GradientBuckets& buckets, std::size_t bucket) : buckets_(buckets), bucket_(bucket) {}
    void operator()(const at::Tensor&) override { buckets_.arrived(bucket_); }

  private:
    GradientBuckets& buckets_;
    std::size_t bucket_;
};

GradientBuckets::GradientBuckets(const FlatTensors& parameters, const at::Tensor& gradients,
                                 Collective& collective, std::int64_t bucket_bytes)
    : parameters_(parameters), gradients_(gradients), collective_(collective) {
    const std::int64_t most = bucket_bytes / static_cast<std::int64_t>(sizeof(float));
    const bool few = parameters.size() <= most;
    const auto add = [&](const FlatTensors::Part& part) {
        const bool joins =
            !buckets_.empty() && (few || (buckets_.back().values.begin == part.values.end &&
                                          buckets_.back().values.end - part.values.begin <= most));
        if (!joins) buckets_.push_back({part.values});
        Bucket& bucket = buckets_.back();
        bucket.values = {std::min(bucket.values.begin, part.values.begin),
                         std::max(bucket.values.end, part.values.end)};
        ++bucket.tensors;
        torch::autograd::impl::set_post_acc_grad_hooks(
            part.tensor, std::make_unique<Hook>(*this, buckets_.size() - 1));
    };
    // Matrices lie before vectors, whose few values would have the matrices of the last layers wait
    // for the first layer: so they go last.
    for (const bool matrices : {true, false}) {
        for (auto part = parameters.parts().rbegin(); part != parameters.parts().rend(); ++part) {
            if ((part->values.end <= parameters.matrices()) == matrices) add(*part);
        }
    }
}

GradientBuckets::~GradientBuckets() {
    for (const FlatTensors::Part& part : parameters_.parts()) {
        torch::autograd::impl::set_post_acc_grad_hooks(part.tensor, nullptr);
    }
}

void GradientBuckets::expect_last() {
    for (Bucket& bucket : buckets_) bucket.missing = bucket.tensors;
    expecting_ = true;
}

void GradientBuckets::arrived(std::size_t bucket) {
    if (!expecting_) return;
    --buckets_[bucket].missing;
    while (next_ < size() && buckets_[static_cast<std::size_t>(next_)].missing == 0) start_next();
}

void GradientBuckets::start_next() {
    const RowRange values = buckets_[static_cast<std::size_t>(next_++)].values;
    collective_.start_all_reduce_sum({gradients_.mutable_data_ptr<float>() + values.begin,
                                      static_cast<std::size_t>(values.size())});
}

void GradientBuckets::finish() {
    expecting_ = false;
    while (next_ < size()) start_next();
    next_ = 0;
    collective_.finish_all_reduces();
}

}  // namespace thresher
