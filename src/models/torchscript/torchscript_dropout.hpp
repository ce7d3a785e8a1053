#pragma once

// Monte-Carlo dropout of the user's TorchScript module. Train mode would not do: it turns on
// batch-norm as well, and draws masks from a sequence that depends on which rows go together. So
// the dropout operations in the module's graph are exchanged for one that follows keyed masks where
// there are any, and else lets everything through.

#include "src/models/dropout_masks.hpp"

namespace torch::jit {
struct Module;
}

namespace thresher {

/// A copy of `module` in eval mode, sharing its tensors, whose dropout is exchanged. Left as they
/// are: operations whose train flag is the constant False, as in a trace or in a frozen module, and
/// dropout inside of other operations, such as LSTM and fused attention. Alpha dropout lets
/// everything through, and throws Error where there are masks. Throws c10::Error where LibTorch
/// cannot copy the module.
torch::jit::Module with_keyed_dropout(const torch::jit::Module& module);

/// While it lives, dropout in modules of with_keyed_dropout that run on this thread follows
/// `masks`.
class ActiveMasks {
  public:
    explicit ActiveMasks(DropoutMasks& masks);
    ~ActiveMasks();
    ActiveMasks(const ActiveMasks&) = delete;
    ActiveMasks& operator=(const ActiveMasks&) = delete;
};

}  // namespace thresher
