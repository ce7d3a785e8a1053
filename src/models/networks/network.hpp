#pragma once

// The built-in networks behind one small interface, and the table that names them.

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "src/models/model_spec.hpp"
#include "src/models/networks/layers.hpp"

namespace thresher {

class Network {
  public:
    virtual ~Network() = default;
    /// What comes before the first dropout layer: the same in all samples of Monte-Carlo dropout.
    virtual at::Tensor prefix(const at::Tensor& x, Pass& pass) const = 0;
    /// The rest of the network, from what prefix() gave, which it leaves as it is.
    virtual ModelOutputs rest(const at::Tensor& h, Pass& pass) const = 0;
    ModelOutputs forward(const at::Tensor& x, Pass& pass) const {
        return rest(prefix(x, pass), pass);
    }
    virtual std::int64_t embedding_size() const = 0;
    /// Logits [samples, n, classes] of Monte-Carlo dropout, by the masks that `keys` name, from
    /// what prefix() gave. Adds the operations to `pass`.
    virtual at::Tensor sample(const at::Tensor& h, const MaskKeys& keys, std::int64_t samples,
                              Pass& pass) const;
    /// As those of Model; of a network with a text tower alone.
    virtual at::Tensor embed_text(const at::Tensor& tokens, Pass& pass) const;
    virtual PairScale pair_scale(bool training) const;
    /// Folds and lays out what can be; called once, on a copy in eval mode with gradients off.
    virtual void prepare_for_scoring() {}
};

std::unique_ptr<Network> make_mlp(const ModelSpec& spec, Builder& builder);
std::unique_ptr<Network> make_cnn(const ModelSpec& spec, Builder& builder);
std::unique_ptr<Network> make_resnet18(const ModelSpec& spec, Builder& builder);
std::unique_ptr<Network> make_resnet34(const ModelSpec& spec, Builder& builder);
std::unique_ptr<Network> make_resnet50(const ModelSpec& spec, Builder& builder);
std::unique_ptr<Network> make_vit_tiny(const ModelSpec& spec, Builder& builder);
std::unique_ptr<Network> make_vit_small(const ModelSpec& spec, Builder& builder);
std::unique_ptr<Network> make_two_tower(const ModelSpec& spec, Builder& builder);
std::unique_ptr<Network> make_detector(const ModelSpec& spec, Builder& builder);

/// The network that spec.name names. Throws UsageError on an unknown name.
std::unique_ptr<Network> make_network(const ModelSpec& spec, Builder& builder);

/// Throws Error unless `spec` has images [C, H, W] with sides of at least `smallest`; returns {C,
/// H, W}.
struct ImageShape {
    std::int64_t channels, height, width;
};
ImageShape image_shape(const ModelSpec& spec, std::int64_t smallest);

}  // namespace thresher
