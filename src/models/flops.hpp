#pragma once

#include "src/models/model_spec.hpp"

namespace thresher {

/// Floating-point operations (a multiply-add is two) of a forward pass of one example through a
/// built-in model, counted as it runs. Throws as make_model. Local.
double forward_flops_of_an_example(const ModelSpec& spec);

}  // namespace thresher
