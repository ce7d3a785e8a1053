#include "src/models/torchscript/torchscript.hpp"

#include <ATen/Context.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/runtime/graph_executor.h>

#include <mutex>
#include <sstream>

#include "src/base/check.hpp"
#include "src/models/model_file.hpp"
#include "src/models/torchscript/torchscript_detector.hpp"
#include "src/models/torchscript/torchscript_dropout.hpp"

namespace thresher {
namespace {

ModelOutputs unpack(const c10::IValue& result, const std::string& path) {
    if (result.isTensor()) return {result.toTensor(), at::Tensor()};
    THRESHER_CHECK(
        result.isGenericDict(),
        "{}: forward returns a {}; it must return the logits, or a dict with \"logits\" and "
        "\"embedding\"",
        path, result.tagKind());
    ModelOutputs outputs;
    std::string keys;
    for (const auto& entry : result.toGenericDict()) {
        if (!entry.key().isString() || !entry.value().isTensor()) continue;
        const std::string& key = entry.key().toStringRef();
        if (key == "logits") outputs.logits = entry.value().toTensor();
        if (key == "embedding") outputs.embedding = entry.value().toTensor().flatten(1);
        keys += keys.empty() ? key : ", " + key;
    }
    THRESHER_CHECK(outputs.logits.defined(),
                   "{}: forward returns a dict without the key \"logits\"; it has: {}", path,
                   keys.empty() ? "none" : keys);
    return outputs;
}

class TorchScriptModel final : public Model {
  public:
    TorchScriptModel(torch::jit::Module module, ModelSpec spec, DetectorLabels labels,
                     const std::string& device, std::string path)
        : Model(std::move(spec), device),
          module_(std::move(module)),
          labels_(std::move(labels)),
          path_(std::move(path)) {
        for (const auto& entry : module_.named_parameters()) {
            parameter_count_ += static_cast<double>(entry.value.numel());
        }
    }

    void learn_classes() {
        const c10::NoGradGuard no_grad;
        module_.eval();
        const ModelOutputs outputs = run(zeros(2));
        if (spec_.detector) return;
        const at::Tensor& logits = outputs.logits;
        THRESHER_CHECK(
            logits.dim() == 2 && logits.size(0) == 2,
            "{}: two inputs of shape [{}] gave logits of shape [{}]; they must have shape "
            "[inputs, classes]",
            path_, fmt::join(spec_.input_shape, ", "), fmt::join(logits.sizes(), ", "));
        spec_.classes = logits.size(1);
        if (!outputs.embedding.defined()) return;
        THRESHER_CHECK(outputs.embedding.size(0) == 2,
                       "{}: two inputs gave {} embeddings; \"embedding\" must have shape [inputs, "
                       "...]",
                       path_, outputs.embedding.size(0));
        embedding_size_ = outputs.embedding.size(1);
    }

    ModelOutputs forward(const at::Tensor& inputs) override {
        const c10::InferenceMode inference(scoring_ || c10::InferenceMode::is_enabled());
        return run_counted(inputs);
    }

    std::vector<NamedTensor> parameters() const override {
        std::vector<NamedTensor> result;
        if (scoring_) return result;
        for (const auto& entry : module_.named_parameters()) {
            result.push_back({entry.name, entry.value});
        }
        return result;
    }

    std::vector<NamedTensor> buffers() const override {
        std::vector<NamedTensor> result;
        if (scoring_) return result;
        for (const auto& entry : module_.named_buffers()) {
            result.push_back({entry.name, entry.value});
        }
        return result;
    }

    void set_training(bool training) override {
        THRESHER_CHECK(!(training && scoring_),
                       "{}: the scoring form was set to train mode; train the model it was made of",
                       path_);
        training_ = training;
        if (!scoring_) module_.train(training);
    }
    bool is_training() const override { return training_; }

    /// TorchScript's dropout draws from the process's generator, which is what is seeded.
    void seed_dropout(std::uint64_t seed) override {
        at::Generator generator = at::globalContext().defaultGenerator(c10::Device(device_));
        const std::lock_guard<std::mutex> lock(generator.mutex());
        generator.set_current_seed(seed);
    }

    std::unique_ptr<Model> clone() const override { return copy(); }

    std::unique_ptr<Model> scoring_form() const override {
        auto result = copy();
        result->module_.eval();
        result->training_ = false;
        result->scoring_ = true;
        // Scripted detectors write to their own attributes, and nobody samples them.
        if (spec_.detector) return result;
        // What LibTorch cannot copy is scored as it is, and cannot be sampled.
        try {
            result->module_ = with_keyed_dropout(result->module_);
        } catch (const c10::Error&) {
        }
        // Freezing folds batch-norm into convolutions. It refuses modules that write to their own
        // attributes; those are scored without.
        try {
            result->module_ = torch::jit::freeze(result->module_);
        } catch (const std::exception&) {
        }
        return result;
    }

    /// Counts the layers that drop when it runs on two rows of zeros.
    bool has_dropout() override {
        if (spec_.detector) return false;
        const c10::InferenceMode inference;
        const std::vector<std::int64_t> ids{0, 1};
        DropoutMasks masks({0, 0, ids, false}, 0);
        const ActiveMasks active(masks);
        run(zeros(2));
        return masks.layers() > 0;
    }

    at::Tensor sample(const at::Tensor& inputs, const MaskKeys& keys,
                      std::int64_t samples) override {
        THRESHER_CHECK(scoring_, "{}: the model was sampled; sample its scoring form", path_);
        const c10::InferenceMode inference;
        std::vector<at::Tensor> logits;
        for (std::int64_t i = 0; i < samples; ++i) {
            DropoutMasks masks(keys, i);
            const ActiveMasks active(masks);
            logits.push_back(run_counted(inputs).logits);
        }
        return at::stack(logits);
    }

    std::string archive() const override {
        THRESHER_CHECK(!scoring_, "{}: the scoring form cannot be saved; save the model itself",
                       path_);
        torch::jit::Module whole = module_.deepcopy(c10::Device(c10::kCPU));
        whole.eval();
        std::ostringstream bytes;
        whole.save(bytes, {{kSpecFile, to_json(spec_)}});
        return bytes.str();
    }

  private:
    std::unique_ptr<TorchScriptModel> copy() const {
        auto result =
            std::make_unique<TorchScriptModel>(module_.deepcopy(), spec_, labels_, device_, path_);
        result->training_ = training_;
        result->embedding_size_ = embedding_size_;
        return result;
    }

    at::Tensor zeros(std::int64_t rows) const {
        std::vector<std::int64_t> shape{rows};
        shape.insert(shape.end(), spec_.input_shape.begin(), spec_.input_shape.end());
        return at::zeros(shape, at::TensorOptions(c10::Device(device_)));
    }

    ModelOutputs run_counted(const at::Tensor& inputs) {
        ModelOutputs outputs = run(inputs);
        THRESHER_CHECK(spec_.detector ||
                           (outputs.logits.dim() == 2 && outputs.logits.size(0) == inputs.size(0) &&
                            outputs.logits.size(1) == spec_.classes),
                       "{}: {} inputs gave logits of shape [{}]; expected [{}, {}]", path_,
                       inputs.size(0), fmt::join(outputs.logits.sizes(), ", "), inputs.size(0),
                       spec_.classes);
        forward_flops_ += 2.0 * parameter_count_ * static_cast<double>(inputs.size(0));
        return outputs;
    }

    ModelOutputs run(const at::Tensor& inputs) {
        // Profiled graphs change from run to run, and their bits might; the plain graph does not.
        const torch::jit::GraphOptimizerEnabledGuard plain_graph(false);
        try {
            if (!spec_.detector) return unpack(module_.forward({inputs}), path_);
            return read_detections(module_.forward({as_images(inputs)}), inputs.size(0), labels_,
                                   path_);
        } catch (const Error&) {
            throw;
        } catch (const std::exception& error) {
            fail("{}: the model failed on inputs of shape [{}]: {}", path_,
                 fmt::join(inputs.sizes(), ", "), first_line(error));
        }
    }

    torch::jit::Module module_;
    DetectorLabels labels_;  ///< of a detector
    std::string path_;
    double parameter_count_ = 0.0;
    bool training_ = false, scoring_ = false;
};

}  // namespace

std::unique_ptr<Model> wrap_torchscript(torch::jit::Module module, ModelSpec spec,
                                        const std::string& device, const std::string& path) {
    auto model = std::make_unique<TorchScriptModel>(std::move(module), std::move(spec),
                                                    DetectorLabels{}, device, path);
    model->learn_classes();
    return model;
}

std::unique_ptr<Model> wrap_detector(torch::jit::Module module, ModelSpec spec,
                                     DetectorLabels labels, const std::string& device,
                                     const std::string& path) {
    spec.detector.emplace();
    spec.classes = labels.classes;
    auto model = std::make_unique<TorchScriptModel>(std::move(module), std::move(spec),
                                                    std::move(labels), device, path);
    model->learn_classes();
    return model;
}

}  // namespace thresher
