#pragma once

// Residual networks (He et al., "Deep residual learning", 2016) up to their features, tensors named
// as in torchvision.

#include <string>
#include <vector>

#include "src/models/networks/layers.hpp"

namespace thresher {

class ResidualBlock {
  public:
    /// Two 3x3 convolutions, or with `bottleneck` 1x1, 3x3, 1x1 with four times the channels.
    ResidualBlock(Builder& builder, const std::string& name, std::int64_t in, std::int64_t width,
                  std::int64_t stride, bool bottleneck);
    at::Tensor operator()(const at::Tensor& x, Pass& pass) const;
    void prepare_for_scoring();

  private:
    std::vector<ConvNorm> body_, shortcut_;
};

struct ResidualShape {
    std::vector<int> depths;  ///< blocks by stage
    bool bottleneck;
};

inline const ResidualShape kResnet18{{2, 2, 2, 2}, false}, kResnet34{{3, 4, 6, 3}, false},
    kResnet50{{3, 4, 6, 3}, true};

/// A stem, then stages of blocks, each stage but the first with half the grid.
class ResidualStages {
  public:
    ResidualStages() = default;
    /// `small_stem`: one 3x3 convolution, as customary for CIFAR, in place of 7x7 with stride 2 and
    /// pooling.
    ResidualStages(Builder& builder, std::int64_t channels, const ResidualShape& shape,
                   bool small_stem);

    std::size_t count() const { return stages_.size(); }
    std::int64_t channels() const { return channels_; }  ///< of the last stage
    at::Tensor stem(const at::Tensor& x, Pass& pass) const;
    at::Tensor stage(std::size_t index, const at::Tensor& x, Pass& pass) const;
    void prepare_for_scoring();

  private:
    bool small_stem_ = false;
    std::int64_t channels_ = 0;
    ConvNorm stem_;
    std::vector<std::vector<ResidualBlock>> stages_;
};

}  // namespace thresher
