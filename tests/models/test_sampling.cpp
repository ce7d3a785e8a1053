#include <ATen/core/Tensor.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/max_pool2d.h>
#include <c10/core/InferenceMode.h>

#include <cmath>
#include <filesystem>
#include <map>
#include <numeric>

#include "src/base/check.hpp"
#include "src/models/dropout_masks.hpp"
#include "src/models/input_reader.hpp"
#include "src/models/mask_keys.hpp"
#include "src/models/torchscript/torchscript.hpp"
#include "tests/models/model_bytes.hpp"
#include "tests/models/scripted.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/toy_pool.hpp"

using namespace thresher;

namespace {

std::vector<std::int64_t> ids_to(std::int64_t count) {
    std::vector<std::int64_t> ids(static_cast<std::size_t>(count));
    std::iota(ids.begin(), ids.end(), 0);
    return ids;
}

std::unique_ptr<Model> built_in(const std::string& name, const MemoryPool& pool, double dropout) {
    ModelSpec spec = spec_for_pool(name, pool.info);
    spec.dropout = dropout;
    return make_model(spec, 5);
}

std::unique_ptr<Model> scripted(double dropout) {
    ModelSpec spec;
    spec.name = kTorchScript;
    spec.input_shape = {4};
    return wrap_torchscript(scripted_network(dropout), spec, "cpu", "user.pt");
}

at::Tensor read_rows(const Model& model, const MemoryPool& pool) {
    return InputReader(model.spec(), pool.info.element_type, pool.info.scale, "cpu")
        .read(pool.inputs);
}

MemoryPool four_vectors() {
    std::vector<float> values(16);
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = std::cos(static_cast<float>(i));
    return vector_pool(values, 4, {0, 1, 2, 0}, 3);
}

double largest_difference(const at::Tensor& a, const at::Tensor& b) {
    return a.sub(b).abs().max().item<double>();
}

}  // namespace

TEST_CASE("sampling differs from eval mode by its masks alone") {
    // Dropout so rare that it never happens: batch-norm in train mode would show at once.
    const c10::InferenceMode inference;
    const MemoryPool images = byte_pool(3, {3, 32, 32}, 10);
    const std::vector<std::int64_t> ids = ids_to(4);
    for (const char* name : {"mlp", "cnn", "resnet18", "vit-tiny"}) {
        INFO(name);
        auto form = built_in(name, images, 1e-13)->scoring_form();
        CHECK(form->has_dropout());
        const at::Tensor inputs = read_rows(*form, images);
        const std::span<const std::int64_t> three(ids.data(), 3);
        const at::Tensor sampled = form->sample(inputs, {1, 0, three, false}, 2);
        REQUIRE(sampled.sizes() == at::IntArrayRef({2, 3, 10}));
        const at::Tensor expected = form->forward(inputs).logits;
        CHECK(sampled[0].equal(sampled[1]));
        if (std::string(name) == "cnn") {  // whose convolution is summed in another order
            CHECK(largest_difference(sampled[0], expected) <= 1e-5);
        } else {
            CHECK(sampled[0].equal(expected));
        }
        CHECK_FALSE(built_in(name, images, 0.0)->scoring_form()->has_dropout());
    }
    const MemoryPool vectors = four_vectors();
    auto form = scripted(1e-6)->scoring_form();
    const at::Tensor inputs = read_rows(*form, vectors);
    CHECK(largest_difference(form->sample(inputs, {1, 0, ids, false}, 1)[0],
                             form->forward(inputs).logits) <= 1e-5);
}

TEST_CASE("where only a linear layer follows, samples have the mean and variance of the formula") {
    // logits = W (m h) + b, m = 0 with p else 1 / (1 - p): mean W h + b, and variance
    // p / (1 - p) sum_j (W_cj h_j)^2.
    const c10::InferenceMode inference;
    const MemoryPool pool = byte_pool(2, {1, 8, 8}, 5);
    const std::int64_t samples = 4000;
    const std::vector<std::int64_t> ids = ids_to(2);
    for (const char* name : {"mlp", "resnet18"}) {
        ModelSpec spec = spec_for_pool(name, pool.info);
        spec.dropout = 0.3;
        spec.hidden = {64};
        auto model = make_model(spec, 5);
        auto form = model->scoring_form();
        const at::Tensor inputs = read_rows(*form, pool);
        const ModelOutputs eval = form->forward(inputs);
        const auto parameters = model->parameters();
        const at::Tensor weight = parameters[parameters.size() - 2].tensor.detach();
        const at::Tensor terms = eval.embedding.unsqueeze(1).mul(weight.unsqueeze(0));
        const at::Tensor variance = terms.square().sum(2).mul(0.3 / 0.7);
        const at::Tensor sampled = form->sample(inputs, {1, 0, ids, false}, samples);
        const at::Tensor standard_error = variance.div(static_cast<double>(samples)).sqrt();
        CHECK(sampled.mean(0).sub(eval.logits).abs().div(standard_error).max().item<double>() <
              5.0);
        // The standard error of a variance is about sqrt(2 / samples) = 2.2 % of it.
        CHECK(sampled.var(0).div(variance).sub(1.0).abs().max().item<double>() < 0.15);
    }
}

TEST_CASE("what comes before the first dropout layer runs once for all samples") {
    const c10::InferenceMode inference;
    const MemoryPool pool = byte_pool(3, {1, 28, 28}, 10);
    const std::vector<std::int64_t> ids = ids_to(3);
    auto form = built_in("cnn", pool, 0.5)->scoring_form();
    form->sample(read_rows(*form, pool), {1, 0, ids, false}, 7);
    // Both convolutions run once; a sample sums 32 channels of 8 x 8 x 64 and goes on from there.
    const double once = 24 * 24 * 32 * 25 + 8 * 8 * 64 * 32 * 25;
    const double sample = 8 * 8 * 64 * 32 + 1024 * 128 + 128 * 10;
    CHECK(form->forward_flops() == 3 * 2.0 * (once + 7 * sample));
}

TEST_CASE("samples of the convolutional network are its layers with the masks between them") {
    const c10::InferenceMode inference;
    const MemoryPool pool = byte_pool(3, {1, 28, 28}, 10);
    const std::vector<std::int64_t> ids{4, 9, 1};
    auto model = built_in("cnn", pool, 0.4);
    std::map<std::string, at::Tensor> tensors;
    for (const NamedTensor& entry : model->parameters()) tensors[entry.name] = entry.tensor;
    const auto convolution = [&](const at::Tensor& x, const std::string& name) {
        return at::conv2d(x, tensors.at(name + ".weight"), tensors.at(name + ".bias"));
    };
    const auto linear = [&](const at::Tensor& x, const std::string& name) {
        return at::linear(x, tensors.at(name + ".weight"), tensors.at(name + ".bias"));
    };
    auto form = model->scoring_form();
    const at::Tensor inputs = read_rows(*form, pool);
    for (const bool consistent : {false, true}) {
        const MaskKeys keys{7, 2, ids, consistent};
        const at::Tensor sampled = form->sample(inputs, keys, 3);
        for (std::int64_t sample = 0; sample < 3; ++sample) {
            const auto mask = [&](int layer, std::int64_t elements) {
                return dropout_mask(keys, sample, layer, elements, 0.4, at::kCPU);
            };
            at::Tensor h = convolution(inputs, "conv1").mul(mask(0, 32).unsqueeze(2).unsqueeze(3));
            h = at::max_pool2d(h, 2, 2).relu();
            h = convolution(h, "conv2").mul(mask(1, 64).unsqueeze(2).unsqueeze(3));
            h = at::max_pool2d(h, 2, 2).relu();
            h = linear(h.flatten(1), "fc1").mul(mask(2, 128)).relu();
            CHECK(largest_difference(sampled[sample], linear(h, "fc2")) <= 1e-5);
        }
    }
}

TEST_CASE("consistent masks make each sample one function; others tell rows apart by id") {
    const c10::InferenceMode inference;
    MemoryPool pool = four_vectors();
    std::memcpy(pool.inputs.data() + 16, pool.inputs.data(), 16);
    const std::vector<std::int64_t> ids{11, 12, 13, 14};
    ModelSpec spec = spec_for_pool("mlp", pool.info);
    spec.dropout = 0.5;
    std::unique_ptr<Model> models[]{make_model(spec, 5), scripted(0.5)};
    for (const auto& model : models) {
        INFO(model->spec().name);
        auto form = model->scoring_form();
        CHECK(form->has_dropout());
        const at::Tensor inputs = read_rows(*form, pool);
        const at::Tensor consistent = form->sample(inputs, {1, 0, ids, true}, 6);
        CHECK(consistent.select(1, 0).equal(consistent.select(1, 1)));
        CHECK_FALSE(consistent[0].equal(consistent[1]));
        const at::Tensor own = form->sample(inputs, {1, 0, ids, false}, 6);
        CHECK_FALSE(own.select(1, 0).equal(own.select(1, 1)));
        CHECK(own.equal(form->sample(inputs, {1, 0, ids, false}, 6)));
        // A row alone, with its id, has the same masks.
        const at::Tensor alone =
            form->sample(inputs.narrow(0, 2, 1), {1, 0, std::span(ids).subspan(2, 1), false}, 6);
        CHECK(largest_difference(alone.select(1, 0), own.select(1, 2)) <= 1e-5);
    }
}

TEST_CASE("a TorchScript model's dropout is reached in layers and functions, unless switched off") {
    // With masks as given, logits = last (m2 m1 h): the embedding is m2 m1 h, which shows them.
    const c10::InferenceMode inference;
    const MemoryPool pool = four_vectors();
    const std::vector<std::int64_t> ids = ids_to(4);
    auto model = scripted(0.5);
    const auto before = bytes_of(*model);
    CHECK(model->embedding_size() == 8);
    model->set_training(true);
    auto form = model->scoring_form();
    CHECK(form->embedding_size() == 8);
    const at::Tensor inputs = read_rows(*form, pool);
    const at::Tensor eval = form->forward(inputs).logits;
    const at::Tensor sampled = form->sample(inputs, {1, 0, ids, false}, 4000);
    CHECK(form->forward(inputs).logits.equal(eval));
    // Two layers with p = 0.5 each keep the mean, and triple the square: E[m^2] = 2 * 2 = 4.
    const at::Tensor terms = form->forward(inputs).embedding.unsqueeze(1).mul(
        model->parameters().back().tensor.detach().unsqueeze(0));
    const at::Tensor variance = terms.square().sum(2).mul(3.0);
    CHECK(sampled.mean(0).sub(eval).abs().div(variance.div(4000.0).sqrt()).max().item<double>() <
          5.0);
    CHECK(sampled.var(0).div(variance).sub(1.0).abs().max().item<double>() < 0.25);
    CHECK(bytes_of(*model) == before);
    CHECK(model->is_training());
}

TEST_CASE("what cannot be sampled says so") {
    const std::vector<std::int64_t> ids = ids_to(2);
    const MemoryPool pool = byte_pool(2, {1, 8, 8}, 5);
    auto model = built_in("mlp", pool, 0.5);
    CHECK_THROWS_WITH(model->sample(read_rows(*model, pool), {1, 0, ids, false}, 1),
                      thresher::test::contains("scoring form"));

    torch::jit::Module alpha("Alpha");
    alpha.register_attribute("training", c10::BoolType::get(), true);
    alpha.define("def forward(self, x):\n    return torch.alpha_dropout(x, 0.5, self.training)\n");
    ModelSpec spec;
    spec.name = kTorchScript;
    spec.input_shape = {4};
    auto form = wrap_torchscript(alpha, spec, "cpu", "alpha.pt")->scoring_form();
    const at::Tensor ones = at::full({2, 4}, 1.0);
    CHECK(form->forward(ones).logits.equal(ones));
    CHECK_THROWS_WITH(form->has_dropout(), thresher::test::contains("alpha.pt") &&
                                               thresher::test::contains("alpha dropout"));
}
