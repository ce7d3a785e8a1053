#pragma once

// Dropout for Monte-Carlo sampling: each mask is a pure function of (seed, round, sample, layer,
// id, element). A row's sample therefore has the same mask on any rank, in any micro-batch and on
// any device; and with consistent masks, which leave the id out, sample s is one and the same
// function for all rows of a pool, as joint acquisitions need it (Kirsch, van Amersfoort and Gal,
// "BatchBALD", 2019).

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "src/models/mask_keys.hpp"

namespace thresher {

/// The masks of one sample for the rows of one forward pass. The layers of a network are told apart
/// by the order in which they call.
class DropoutMasks {
  public:
    DropoutMasks(const MaskKeys& keys, std::int64_t sample) : keys_(keys), sample_(sample) {}

    /// x [n or a multiple, ...], rows of one example together, each element dropped with
    /// `probability` and else scaled by 1 / (1 - probability). Throws Error where the first
    /// dimension of x is not that of the examples.
    at::Tensor drop(const at::Tensor& x, double probability);
    /// Drops whole channels of x [n or a multiple, channels, ...].
    at::Tensor drop_channels(const at::Tensor& x, double probability);

    /// Layers that have dropped so far.
    int layers() const { return layers_; }

  private:
    at::Tensor drop(const at::Tensor& x, double probability, std::vector<std::int64_t> mask_shape);

    MaskKeys keys_;
    std::int64_t sample_;
    int layers_ = 0;
};

/// The factors [ids, elements] of one layer, or [1, elements] where masks are consistent: 0 with
/// `probability`, else 1 / (1 - probability). Element e of an id takes word e % 4 of the Philox
/// block with the counter {e / 4, 0, low and high half of id}, or {e / 4, 1, 0, 0} where masks are
/// consistent, under a key made of (seed, round, sample, layer).
at::Tensor dropout_mask(const MaskKeys& keys, std::int64_t sample, int layer, std::int64_t elements,
                        double probability, const c10::Device& device);

/// The factors of the samples 0 to `samples` - 1, [samples, ids or 1, elements], on the CPU.
at::Tensor dropout_masks(const MaskKeys& keys, std::int64_t samples, int layer,
                         std::int64_t elements, double probability);

/// The same bits by tensor operations alone, which is how they are made on a GPU.
at::Tensor dropout_mask_by_tensors(const MaskKeys& keys, std::int64_t sample, int layer,
                                   std::int64_t elements, double probability,
                                   const c10::Device& device);

}  // namespace thresher
