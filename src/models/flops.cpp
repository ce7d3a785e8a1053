#include "src/models/flops.hpp"

#include <ATen/ops/zeros.h>
#include <c10/core/InferenceMode.h>

#include "src/models/model.hpp"
#include "src/models/tensors.hpp"

namespace thresher {

double forward_flops_of_an_example(const ModelSpec& spec) {
    const c10::InferenceMode inference;
    const auto model = make_model(spec, 0);
    std::vector<std::int64_t> shape{1};
    shape.insert(shape.end(), spec.input_shape.begin(), spec.input_shape.end());
    static_cast<void>(model->forward(at::zeros(shape)));
    if (spec.towers) {
        static_cast<void>(model->embed_text(at::zeros({1, spec.towers->token_length}, at::kInt)));
    }
    return model->forward_flops();
}

}  // namespace thresher
