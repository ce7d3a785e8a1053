#include "src/models/model.hpp"

#include "src/base/check.hpp"
#include "src/models/tensors.hpp"

namespace thresher {
namespace {

[[noreturn]] void refuse_captions(const ModelSpec& spec) {
    fail<UsageError>("{} reads no captions; use a two-tower", spec.name);
}

}  // namespace

at::Tensor Model::embed_text(const at::Tensor&) { refuse_captions(spec_); }
PairScale Model::pair_scale() { refuse_captions(spec_); }

}  // namespace thresher
