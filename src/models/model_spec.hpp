#pragma once

// What a model is, apart from its numbers: enough to build it again and to feed it the right
// inputs. Stored as JSON inside the model's file.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "src/pool/pool_info.hpp"

namespace thresher {

/// What a model that embeds images and captions in one space has beside the rest.
struct Towers {
    std::string image = "resnet18";  ///< the built-in model whose logits are the image's embedding
    std::int64_t text_width = 128, text_layers = 2;  ///< of the transformer that reads captions
    std::int64_t embedding = 128;                    ///< d, of images and captions
    std::int64_t token_length = 0;                   ///< L, tokens of a caption
    std::int64_t vocabulary = 0;                     ///< tokens are below it; token 0 is padding
    /// What makes tokens of text (src/pool/vocabulary.hpp); empty where it is not known. Kept in
    /// the model's file beside the JSON.
    std::string text_model{};

    bool operator==(const Towers&) const = default;
};

/// Of an anchor, in pixels of the input.
struct AnchorShape {
    double width, height;

    bool operator==(const AnchorShape&) const = default;
};

/// What a model that finds objects has beside the rest; empty of a user's TorchScript file.
struct DetectorSpec {
    std::string trunk;  ///< what turns images into features: small, vgg16, resnet18 or resnet50
    /// By level, the finest first: the anchors at each place of its grid.
    std::vector<std::vector<AnchorShape>> anchors;
    /// 1, or 2 that tell the classes of the same anchors apart, each by itself: where they disagree
    /// the detector does not know.
    std::int64_t class_heads = 1;
    bool loss_head = false;  ///< whether it predicts its own loss of an image

    bool operator==(const DetectorSpec&) const = default;
};

struct ModelSpec {
    std::string name;                        ///< of the registry, or "torchscript"
    std::vector<std::int64_t> input_shape;   ///< of one example: [C, H, W], or [d] (mlp)
    std::int64_t classes = 0;                ///< logits per example; 0: none, of a two-tower
    std::vector<std::string> class_names{};  ///< of the pool it was made for; empty: not known
    /// The model sees (x * scale - mean[c]) / std[c]; mean and std have one entry, or one per
    /// channel, the first axis of an example.
    double scale = 1.0;
    std::vector<double> mean{0.0}, std{1.0};
    double dropout = 0.5;                        ///< probability of dropping
    std::vector<std::int64_t> hidden{256, 256};  ///< widths of the hidden layers; mlp
    std::optional<Towers> towers{};              ///< of a model that reads captions
    std::optional<DetectorSpec> detector{};      ///< of a model that finds objects

    bool operator==(const ModelSpec&) const = default;
};

/// A spec for `name` that fits the pool: its shape, classes and normalisation, the model's own
/// default for the rest. Throws UsageError on a name that is not in the registry (lists the known
/// ones), Error where the pool's classes are unknown or, for a two-tower, its captions, or where
/// its shape does not suit the model.
ModelSpec spec_for_pool(std::string_view name, const PoolInfo& pool);

std::string to_json(const ModelSpec& spec);
/// Throws Error on text that is no model spec.
ModelSpec model_spec_from_json(const std::string& text);

}  // namespace thresher
