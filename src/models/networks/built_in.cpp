// The built-in models: the table of networks, and the Model that runs one of them.

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/ops/stack.h>
#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <optional>

#include "src/base/check.hpp"
#include "src/models/detector/detector_spec.hpp"
#include "src/models/model.hpp"
#include "src/models/model_file.hpp"
#include "src/models/networks/network.hpp"

namespace thresher {
namespace {

struct Entry {
    ModelInfo info;
    std::unique_ptr<Network> (*make)(const ModelSpec&, Builder&);
    double dropout;  ///< its default
};

const std::vector<Entry>& table() {
    static const std::vector<Entry> entries{
        {{"mlp", "multi-layer perceptron with ReLU, hidden layers 256, 256 unless given"},
         make_mlp,
         0.0},
        {{"cnn", "two 5x5 convolutions (32, 64) and a layer of 128, dropout after each"},
         make_cnn,
         0.5},
        {{"resnet18", "residual network, 18 layers; 3x3 stem for images of up to 64 pixels"},
         make_resnet18,
         0.0},
        {{"resnet34", "residual network, 34 layers; 3x3 stem for images of up to 64 pixels"},
         make_resnet34,
         0.0},
        {{"resnet50", "residual network with bottlenecks, 50 layers; 3x3 stem as above"},
         make_resnet50,
         0.0},
        {{"vit-tiny",
          "vision transformer, width 192, 12 layers; patches of 4 pixels up to 64, else 16"},
         make_vit_tiny,
         0.0},
        {{"vit-small",
          "vision transformer, width 384, 12 layers; patches of 4 pixels up to 64, else 16"},
         make_vit_small,
         0.0},
        {{"two-tower",
          "images and captions in one space: any of the above, and a transformer for the text"},
         make_two_tower,
         0.0},
        {{"ssd", "finds objects by softmax over anchors; trunk small below 256 pixels, else vgg16"},
         make_detector,
         0.0},
        {{"retinanet",
          "finds objects by a feature pyramid and sigmoids; trunk small below 256, else resnet50"},
         make_detector,
         0.0}};
    return entries;
}

const Entry& find_entry(std::string_view name) {
    std::string known;
    for (const Entry& entry : table()) {
        if (entry.info.name == name) return entry;
        known += known.empty() ? "" : ", ";
        known += entry.info.name;
    }
    fail<UsageError>(
        "there is no built-in model '{}'; known: {}, or the path of a TorchScript file", name,
        known);
}

at::Generator make_generator(const c10::Device& device) {
    if (device.is_cpu()) return at::detail::createCPUGenerator(0);
    return at::globalContext().defaultGenerator(device).clone();
}

class BuiltInModel final : public Model {
  public:
    BuiltInModel(const ModelSpec& spec, std::optional<std::uint64_t> seed,
                 const std::string& device)
        : Model(spec, device), builder_(seed), network_(make_network(spec, builder_)) {
        const c10::NoGradGuard no_grad;
        embedding_size_ = network_->embedding_size();
        const c10::Device place(device);
        pass_.dropout = make_generator(place);
        if (place.is_cpu()) return;
        for (auto* tensors : {&builder_.parameters, &builder_.buffers}) {
            for (NamedTensor& entry : *tensors) entry.tensor.set_data(entry.tensor.to(place));
        }
    }

    ModelOutputs forward(const at::Tensor& inputs) override {
        const c10::InferenceMode inference(scoring_ || c10::InferenceMode::is_enabled());
        ModelOutputs outputs = network_->forward(inputs, pass_);
        forward_flops_ = pass_.flops;
        return outputs;
    }

    at::Tensor embed_text(const at::Tensor& tokens) override {
        if (!spec_.towers) return Model::embed_text(tokens);
        const c10::InferenceMode inference(scoring_ || c10::InferenceMode::is_enabled());
        const at::Tensor embedding = network_->embed_text(tokens, pass_);
        forward_flops_ = pass_.flops;
        return embedding;
    }

    PairScale pair_scale() override {
        return spec_.towers ? network_->pair_scale(pass_.training) : Model::pair_scale();
    }

    std::vector<NamedTensor> parameters() const override { return builder_.parameters; }
    std::vector<NamedTensor> buffers() const override { return builder_.buffers; }

    void set_training(bool training) override {
        THRESHER_CHECK(
            !(training && scoring_),
            "the scoring form of {} was set to train mode; train the model it was made of",
            spec_.name);
        pass_.training = training;
    }
    bool is_training() const override { return pass_.training; }

    void seed_dropout(std::uint64_t seed) override { pass_.dropout.set_current_seed(seed); }

    std::unique_ptr<Model> clone() const override {
        auto copy = copy_tensors();
        copy->pass_.training = pass_.training;
        return copy;
    }

    std::unique_ptr<Model> scoring_form() const override {
        auto copy = copy_tensors();
        const c10::InferenceMode inference;
        copy->network_->prepare_for_scoring();
        copy->scoring_ = true;
        copy->builder_.parameters.clear();
        copy->builder_.buffers.clear();
        return copy;
    }

    bool has_dropout() override { return spec_.dropout > 0.0; }

    at::Tensor sample(const at::Tensor& inputs, const MaskKeys& keys,
                      std::int64_t samples) override {
        THRESHER_CHECK(scoring_, "{} was sampled; sample its scoring form", spec_.name);
        const c10::InferenceMode inference;
        const at::Tensor logits =
            network_->sample(network_->prefix(inputs, pass_), keys, samples, pass_);
        forward_flops_ = pass_.flops;
        return logits;
    }

    std::string archive() const override {
        THRESHER_CHECK(!scoring_, "the scoring form of {} cannot be saved; save the model itself",
                       spec_.name);
        return archive_of(spec_, builder_.parameters, builder_.buffers);
    }

  private:
    std::unique_ptr<BuiltInModel> copy_tensors() const {
        auto copy = std::make_unique<BuiltInModel>(spec_, std::nullopt, device_);
        const c10::NoGradGuard no_grad;
        const auto copy_all = [](const std::vector<NamedTensor>& from,
                                 std::vector<NamedTensor>& to) {
            for (std::size_t i = 0; i < from.size(); ++i) to[i].tensor.copy_(from[i].tensor);
        };
        copy_all(builder_.parameters, copy->builder_.parameters);
        copy_all(builder_.buffers, copy->builder_.buffers);
        return copy;
    }

    Builder builder_;
    std::unique_ptr<Network> network_;
    Pass pass_;
    bool scoring_ = false;
};

}  // namespace

at::Tensor Network::sample(const at::Tensor& h, const MaskKeys& keys, std::int64_t samples,
                           Pass& pass) const {
    std::vector<at::Tensor> logits;
    for (std::int64_t i = 0; i < samples; ++i) {
        DropoutMasks masks(keys, i);
        Pass one;
        one.masks = &masks;
        logits.push_back(rest(h, one).logits);
        pass.flops += one.flops;
    }
    return at::stack(logits);
}

at::Tensor Network::embed_text(const at::Tensor&, Pass&) const { return {}; }
PairScale Network::pair_scale(bool) const { return {}; }

std::unique_ptr<Network> make_network(const ModelSpec& spec, Builder& builder) {
    return find_entry(spec.name).make(spec, builder);
}

std::vector<ModelInfo> built_in_models() {
    std::vector<ModelInfo> models;
    for (const Entry& entry : table()) models.push_back(entry.info);
    return models;
}

bool is_built_in_model(std::string_view name) {
    return std::any_of(table().begin(), table().end(),
                       [&](const Entry& entry) { return entry.info.name == name; });
}

ModelSpec spec_for_pool(std::string_view name, const PoolInfo& pool) {
    const Entry& entry = find_entry(name);
    const bool reads_captions = entry.make == make_two_tower;
    const bool finds_objects = is_detector(name);
    THRESHER_CHECK(!reads_captions || (pool.token_length > 0 && pool.vocabulary > 0),
                   "{}: the pool has no captions, which {} learns from; give a pool of thresher "
                   "import image-text",
                   pool.path, name);
    THRESHER_CHECK(
        !finds_objects || pool.has_boxes,
        "{}: the pool has no boxes, which {} learns from; give a pool of thresher import "
        "voc or coco",
        pool.path, name);
    THRESHER_CHECK(finds_objects || reads_captions || !pool.has_boxes || pool.has_targets,
                   "{}: the pool has boxes but no targets, which {} learns from; use ssd or "
                   "retinanet, or give a pool with targets",
                   pool.path, name);
    THRESHER_CHECK(reads_captions || pool.classes > 0,
                   "{}: the pool has neither targets nor class names, so {} cannot know how many "
                   "classes to tell apart; give a pool with targets",
                   pool.path, name);
    ModelSpec spec;
    spec.name = name;
    spec.input_shape = pool.input_shape;
    if (reads_captions) {
        spec.towers.emplace();
        spec.towers->token_length = pool.token_length;
        spec.towers->vocabulary = pool.vocabulary;
    } else {
        spec.classes = pool.classes;
        spec.class_names = pool.class_names;
    }
    spec.scale = pool.scale;
    spec.mean = pool.mean;
    spec.std = pool.std;
    spec.dropout = entry.dropout;
    if (name != "mlp") spec.hidden.clear();
    if (finds_objects) use_trunk(spec, "");
    return spec;
}

ImageShape image_shape(const ModelSpec& spec, std::int64_t smallest) {
    THRESHER_CHECK(spec.input_shape.size() == 3,
                   "{} takes images [channels, height, width], but the inputs have shape [{}]; use "
                   "mlp for vectors",
                   spec.name, fmt::join(spec.input_shape, ", "));
    const ImageShape image{spec.input_shape[0], spec.input_shape[1], spec.input_shape[2]};
    THRESHER_CHECK(image.height >= smallest && image.width >= smallest,
                   "{} needs images of at least {} x {} pixels, but they have {} x {}; use mlp",
                   spec.name, smallest, smallest, image.height, image.width);
    return image;
}

std::unique_ptr<Model> make_model(const ModelSpec& spec, std::uint64_t seed,
                                  const std::string& device) {
    THRESHER_CHECK(spec.classes > 0 || spec.towers,
                   "{} was asked for with {} classes; at least 1 is needed", spec.name,
                   spec.classes);
    return std::make_unique<BuiltInModel>(spec, seed, device);
}

std::unique_ptr<Model> make_model_without_values(const ModelSpec& spec, const std::string& device) {
    return std::make_unique<BuiltInModel>(spec, std::nullopt, device);
}

}  // namespace thresher
