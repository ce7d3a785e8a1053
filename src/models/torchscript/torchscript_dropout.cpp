#include "src/models/torchscript/torchscript_dropout.hpp"

#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/ir/ir.h>
#include <torch/csrc/jit/passes/inliner.h>
#include <torch/csrc/jit/runtime/operator.h>

#include <optional>

#include "src/base/check.hpp"

namespace thresher {
namespace {

thread_local DropoutMasks* active_masks = nullptr;

enum Kind : std::int64_t { kElements, kChannels, kAlpha };

/// thresher::dropout(Tensor x, float p, int kind, Tensor input), and with an underscore, in place.
/// The module's input is there so that no result is taken for a constant.
void keyed_dropout(torch::jit::Stack& stack, bool in_place) {
    torch::jit::drop(stack, 1);
    const std::int64_t kind = torch::jit::pop(stack).toInt();
    const double probability = torch::jit::pop(stack).toDouble();
    at::Tensor x = torch::jit::pop(stack).toTensor();
    if (active_masks != nullptr && probability > 0.0) {
        THRESHER_CHECK(kind != kAlpha,
                       "alpha dropout cannot be sampled; use dropout or feature dropout");
        const at::Tensor dropped = kind == kChannels ? active_masks->drop_channels(x, probability)
                                                     : active_masks->drop(x, probability);
        x = in_place ? x.copy_(dropped) : dropped;
    }
    torch::jit::push(stack, std::move(x));
}

const char* const kDropout = "thresher::dropout";
const char* const kDropoutInPlace = "thresher::dropout_";

void register_operators() {
    static const bool once = [] {
        const auto add = [](const char* schema, bool in_place) {
            torch::jit::registerOperator(torch::jit::Operator(
                std::string(schema),
                [in_place](torch::jit::Stack& stack) { keyed_dropout(stack, in_place); },
                c10::AliasAnalysisKind::FROM_SCHEMA));
        };
        add("thresher::dropout(Tensor x, float p, int kind, Tensor input) -> Tensor", false);
        add("thresher::dropout_(Tensor(a!) x, float p, int kind, Tensor input) -> Tensor(a!)",
            true);
        return true;
    }();
    static_cast<void>(once);
}

/// Whether the node's train flag may ever be true.
bool can_train(const torch::jit::Node& node) {
    const auto flag = torch::jit::toIValue(node.input(2));
    return !flag || flag->toBool();
}

/// Which dropout an operation is, if it is one.
std::optional<Kind> dropout_kind(std::string operation) {
    if (operation.back() == '_') operation.pop_back();
    if (operation == "aten::dropout") return kElements;
    if (operation == "aten::feature_dropout") return kChannels;
    if (operation == "aten::alpha_dropout" || operation == "aten::feature_alpha_dropout")
        return kAlpha;
    return std::nullopt;
}

void exchange(torch::jit::Block& block, torch::jit::Value* input) {
    for (auto next = block.nodes().begin(); next != block.nodes().end();) {
        torch::jit::Node* old = *next;
        ++next;
        for (torch::jit::Block* inner : old->blocks()) exchange(*inner, input);
        const std::string operation = old->kind().toQualString();
        const std::optional<Kind> kind = dropout_kind(operation);
        if (!kind || !can_train(*old)) continue;
        torch::jit::Graph& graph = *old->owningGraph();
        const torch::jit::WithInsertPoint here(old);
        torch::jit::Value* which = graph.insertConstant(static_cast<std::int64_t>(*kind));
        torch::jit::Node* keyed = graph.create(
            c10::Symbol::fromQualString(operation.back() == '_' ? kDropoutInPlace : kDropout),
            {old->input(0), old->input(1), which, input});
        keyed->insertBefore(old);
        keyed->output()->setType(old->output()->type());
        old->output()->replaceAllUsesWith(keyed->output());
        old->destroy();
    }
}

}  // namespace

torch::jit::Module with_keyed_dropout(const torch::jit::Module& module) {
    register_operators();
    torch::jit::Module copy = module.clone(true);
    copy.eval();
    const std::shared_ptr<torch::jit::Graph> graph = copy.get_method("forward").graph();
    torch::jit::Inline(*graph);
    exchange(*graph->block(), graph->inputs().at(1));
    return copy;
}

ActiveMasks::ActiveMasks(DropoutMasks& masks) { active_masks = &masks; }
ActiveMasks::~ActiveMasks() { active_masks = nullptr; }

}  // namespace thresher
