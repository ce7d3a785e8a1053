#pragma once

// What a model is, apart from its numbers: enough to build it again and to feed it the right
// inputs. Stored as JSON inside the model's file.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "src/pool/pool_info.hpp"

namespace thresher {

struct ModelSpec {
    std::string name;                       ///< of the registry, or "torchscript"
    std::vector<std::int64_t> input_shape;  ///< of one example: [C, H, W], or [d] (mlp)
    std::int64_t classes = 0;               ///< logits per example
    /// The model sees (x * scale - mean[c]) / std[c]; mean and std have one entry, or one per
    /// channel.
    double scale = 1.0;
    std::vector<double> mean{0.0}, std{1.0};
    double dropout = 0.5;                        ///< probability of dropping
    std::vector<std::int64_t> hidden{256, 256};  ///< widths of the hidden layers; mlp

    bool operator==(const ModelSpec&) const = default;
};

/// A spec for `name` that fits the pool: its shape, classes and normalisation, the model's own
/// default for the rest. Throws UsageError on a name that is not in the registry (lists the known
/// ones), Error where the pool's classes are unknown or its shape does not suit the model.
ModelSpec spec_for_pool(std::string_view name, const PoolInfo& pool);

std::string to_json(const ModelSpec& spec);
/// Throws Error on text that is no model spec.
ModelSpec model_spec_from_json(const std::string& text);

}  // namespace thresher
