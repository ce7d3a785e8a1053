#pragma once

// A network that turns inputs into logits and embeddings: built in, or the user's TorchScript file.
// This header is free of LibTorch, so whoever only carries models around compiles fast; those who
// compute with them include src/models/tensors.hpp as well.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "src/models/model_spec.hpp"

namespace at {
class Tensor;
}

namespace thresher {

struct ModelOutputs;  // src/models/tensors.hpp
struct NamedTensor;
struct PairScale;
struct MaskKeys;  // src/models/mask_keys.hpp

class Model {
  public:
    virtual ~Model() = default;
    Model(const Model&) = delete;
    Model& operator=(const Model&) = delete;

    const ModelSpec& spec() const { return spec_; }
    const std::string& device() const { return device_; }  ///< "cpu", "cuda", "cuda:1"

    /// Logits [n, classes] and embedding of normalised float32 inputs [n, ...] on the model's
    /// device, in the current mode. Gradients are recorded unless the caller has turned them off.
    /// Throws Error where the output has the wrong shape. Local.
    virtual ModelOutputs forward(const at::Tensor& inputs) = 0;

    /// Of a model that reads captions (spec().towers), of which forward() gives the image's
    /// embedding: the embeddings [n, d] of captions, int32 tokens [n, L], all of length 1, and what
    /// makes a logit of an image and a caption. Others throw UsageError. Local.
    virtual at::Tensor embed_text(const at::Tensor& tokens);
    virtual PairScale pair_scale();

    /// Trainable tensors and running statistics, in a fixed order; they share memory with the
    /// model.
    virtual std::vector<NamedTensor> parameters() const = 0;
    virtual std::vector<NamedTensor> buffers() const = 0;

    /// Train mode (dropout drops, batch-norm uses the batch) or eval mode; a new model is in eval
    /// mode.
    virtual void set_training(bool training) = 0;
    virtual bool is_training() const = 0;

    /// Dropout from here on is a function of this seed and of the calls that follow alone.
    virtual void seed_dropout(std::uint64_t seed) = 0;

    /// An independent copy: no tensor is shared.
    virtual std::unique_ptr<Model> clone() const = 0;

    /// A copy made for fast scoring: eval mode, batch-norm folded into the convolutions, weights
    /// laid out for inference. It cannot be trained, saved or set to train mode; the original is
    /// untouched.
    virtual std::unique_ptr<Model> scoring_form() const = 0;

    /// Whether sample() has anything to drop. Of a scoring form alone.
    virtual bool has_dropout() = 0;

    /// Monte-Carlo dropout: logits [samples, n, classes] in which every dropout layer drops by the
    /// masks that `keys` name, batch-norm and all else staying in eval mode. What comes before the
    /// first dropout layer of a built-in model runs once for all samples. Of a scoring form alone.
    virtual at::Tensor sample(const at::Tensor& inputs, const MaskKeys& keys,
                              std::int64_t samples) = 0;

    /// Width d of the embedding; 0 where the model has none.
    std::int64_t embedding_size() const { return embedding_size_; }

    /// Floating-point operations (a multiply-add is two) of all forward passes so far, counted in
    /// the convolutions, linear layers and attention that ran. TorchScript: 2 x parameters x rows,
    /// an estimate.
    double forward_flops() const { return forward_flops_; }

    /// The bytes of a .pt file with this model, which load_model() reads. Local.
    virtual std::string archive() const = 0;

  protected:
    Model(ModelSpec spec, std::string device)
        : spec_(std::move(spec)), device_(std::move(device)) {}

    ModelSpec spec_;
    std::string device_;
    std::int64_t embedding_size_ = 0;
    double forward_flops_ = 0.0;
};

struct ModelInfo {
    std::string_view name;
    std::string_view description;
};

/// The built-in models, in the order in which `list` shows them.
std::vector<ModelInfo> built_in_models();
bool is_built_in_model(std::string_view name);

/// A new built-in model. The same spec and seed give the same bits always, on any device.
/// Throws UsageError on an unknown name, Error on a shape that does not suit it.
std::unique_ptr<Model> make_model(const ModelSpec& spec, std::uint64_t seed,
                                  const std::string& device = "cpu");

/// Reads a file of archive(), or the user's TorchScript file, and fits it to the pool: the pool's
/// scale (units of its elements); mean and std of the model's own where it has them, of the pool
/// otherwise. Throws FileError where there is no such file or it is no model, Error where the input
/// shape or the classes do not fit the pool. Local.
std::unique_ptr<Model> load_model(const std::string& path, const PoolInfo& pool,
                                  const std::string& device = "cpu");

/// The spec that a file of archive() holds; for a user's TorchScript file only the name
/// "torchscript". Throws FileError. Local.
ModelSpec read_model_spec(const std::string& path);

/// Throws Error unless inputs and classes of the pool fit the model. `path` names the model in the
/// message.
void check_fits(const ModelSpec& spec, const PoolInfo& pool, const std::string& path);

/// "cuda" if a GPU can be used, else "cpu"; `name` is auto, cpu, cuda or cuda:N. Throws UsageError.
std::string choose_device(const std::string& name);

/// Threads that LibTorch uses in this process. Local; call it before the first model runs.
void use_model_threads(int threads);

}  // namespace thresher
